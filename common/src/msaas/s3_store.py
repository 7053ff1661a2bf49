"""An object store behind the S3 API, spoken by the `minio` client."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.storage import StoredObject

_PIECE_BYTES = 1024 * 1024
#: Servers differ in what they say of a bucket that is there.
_BUCKET_IS_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_NOT_THERE = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}
#: A store may take this long over an upload before it says so.
READ_TIMEOUT_S = 30.0
#: A part of an upload; S3 wants 5 MiB at least. A song of 100 MB goes up in one request.
_PART_BYTES = 128 * 1024 * 1024


class S3Store:
    def __init__(self, client: Minio) -> None:
        self._client = client

    def ping(self, bucket: str) -> None:
        with _our_errors():
            self._client.bucket_exists(bucket)

    def make_bucket(self, bucket: str) -> None:
        with _our_errors():
            if self._client.bucket_exists(bucket):
                return
            try:
                self._client.make_bucket(bucket)
            except S3Error as error:
                if error.code not in _BUCKET_IS_THERE:
                    raise

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        with _our_errors():
            self._client.put_object(bucket, key, data, size_bytes, part_size=_PART_BYTES)

    def get(self, bucket: str, key: str) -> Iterator[bytes]:
        with _our_errors():
            response = self._client.get_object(bucket, key)
            try:
                yield from response.stream(_PIECE_BYTES)
            finally:
                response.close()
                response.release_conn()

    def stat(self, bucket: str, key: str) -> StoredObject:
        with _our_errors():
            found = self._client.stat_object(bucket, key)
        return StoredObject(
            key, found.size or 0, found.last_modified.timestamp() if found.last_modified else 0.0
        )

    def delete(self, bucket: str, key: str) -> None:
        with _our_errors():
            try:
                self._client.remove_object(bucket, key)
            except S3Error as error:
                if error.code not in _NOT_THERE:
                    raise

    def list(self, bucket: str) -> Iterator[StoredObject]:
        with _our_errors():
            for found in self._client.list_objects(bucket, recursive=True):
                modified_at = found.last_modified.timestamp() if found.last_modified else 0.0
                yield StoredObject(found.object_name or "", found.size or 0, modified_at)


def connect(
    host: str,
    *,
    access_key: str,
    secret_key: str,
    secure: bool = False,
    connect_timeout_s: float = 1.0,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> S3Store:
    """Return a store on `host:port`; nothing is sent before its first use.

    Waiting and trying again is the caller's: a request may not hang longer than its own client waits.
    """
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
        retries=urllib3.Retry(
            total=1, connect=0, read=0, status=1, status_forcelist=[503], backoff_factor=0.1
        ),
        maxsize=32,
    )
    return S3Store(Minio(host, access_key=access_key, secret_key=secret_key, secure=secure, http_client=pool))


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code in _NOT_THERE:
            raise ObjectNotFound(error.object_name or error.bucket_name or "") from None
        raise StoreUnavailable(f"{error.code}: {error.message}") from error
    except (
        ServerError,
        InvalidResponseError,
        MinioException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise StoreUnavailable(type(error).__name__) from error
