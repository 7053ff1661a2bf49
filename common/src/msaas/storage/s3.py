"""Object store behind the S3 API, through the `minio` client."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.helpers import DictType

from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.storage.protocol import CHUNK_BYTES, StoredObject, object_changed

#: Servers differ in the error for an existing bucket.
_BUCKET_EXISTS = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}
#: Another writer was first. AWS reports two writes at the same time with the second one.
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict"}
#: A store may take this long over an upload before it says so.
READ_TIMEOUT_S = 30.0
#: Part of an upload: the client holds one part in memory. S3 asks for 5 MiB at least.
_PART_BYTES = 8 * 1024 * 1024
_PRESIGNED = timedelta(hours=1)
#: Without a region the client would ask the server for it. Most servers have this one by default.
REGION = "us-east-1"


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
                if error.code not in _BUCKET_EXISTS:
                    raise

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        if if_match:
            return self._put_if_match(bucket, key, data.read(size_bytes), if_match)
        with _our_errors():
            self._client.put_object(
                bucket, key, data, size_bytes, part_size=_PART_BYTES, num_parallel_uploads=1
            )

    def _put_if_match(self, bucket: str, key: str, content: bytes, etag: str) -> None:
        """Compare the etag, and let the server compare it again when it stores the object.

        MinIO, Ceph and AWS do so. rclone ignores the condition and Swift refuses it: there, a write between
        the two requests is lost.
        """
        try:
            if self.stat(bucket, key).etag != etag:
                raise object_changed(key)
            with _our_errors():
                self._send_if_match(bucket, key, content, etag)
        except ObjectNotFound:
            raise object_changed(key) from None

    def _send_if_match(self, bucket: str, key: str, content: bytes, etag: str) -> None:
        headers: DictType = {"Content-Type": "application/octet-stream"}
        try:
            # The public method takes no such header.
            self._client._put_object(bucket, key, content, {**headers, "If-Match": f'"{etag}"'})
        except S3Error as error:
            if error.code != "NotImplemented":
                raise
            self._client._put_object(bucket, key, content, headers)

    def get(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        if length == 0:
            return
        headers: DictType | None = {"If-Match": f'"{etag}"'} if etag else None
        with _our_errors():
            try:
                response = self._client.get_object(
                    bucket, key, offset=offset, length=length or 0, request_headers=headers
                )
            except S3Error as error:
                if error.code == "InvalidRange":
                    return
                raise
            try:
                # Some servers ignore If-Match.
                if etag and _unquoted(response.headers.get("ETag")) not in ("", etag):
                    raise object_changed(key)
                yield from response.stream(CHUNK_BYTES)
            finally:
                response.close()
                response.release_conn()

    def stat(self, bucket: str, key: str) -> StoredObject:
        with _our_errors():
            return _stored(key, self._client.stat_object(bucket, key))

    def delete(self, bucket: str, key: str) -> None:
        with _our_errors():
            try:
                self._client.remove_object(bucket, key)
            except S3Error as error:
                if error.code not in _MISSING:
                    raise

    def list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        with _our_errors():
            for found in self._client.list_objects(bucket, prefix=prefix, recursive=True):
                yield _stored(found.object_name or "", found)


def _stored(key: str, found: Object) -> StoredObject:
    return StoredObject(
        key=key,
        size_bytes=found.size or 0,
        modified_at=found.last_modified.timestamp() if found.last_modified else 0.0,
        etag=_unquoted(found.etag),
    )


def _unquoted(etag: str | None) -> str:
    return (etag or "").strip('"')


def connect(
    host: str,
    *,
    access_key: str,
    secret_key: str,
    secure: bool = False,
    connect_timeout_s: float = 1.0,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> S3Store:
    """Return a store on `host:port`. Nothing is sent before its first use.

    The client does not retry: the caller knows how long its own client waits.
    """
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
        retries=urllib3.Retry(
            total=1, connect=0, read=0, status=1, status_forcelist=[503], backoff_factor=0.1
        ),
        maxsize=32,
    )
    return S3Store(Minio(host, access_key=access_key, secret_key=secret_key, secure=secure, http_client=pool))


class PresignedUrls:
    """Implements `PublicStore` by URLs that are signed here. The server is not asked."""

    def __init__(self, client: Minio) -> None:
        self._client = client

    def presign(self, bucket: str, key: str, *, disposition: str, media_type: str) -> str:
        with _our_errors():
            return self._client.presigned_get_object(
                bucket,
                key,
                expires=_PRESIGNED,
                response_headers={
                    "response-content-disposition": disposition,
                    "response-content-type": media_type,
                },
            )


def presigned_urls(url: str, *, access_key: str, secret_key: str, region: str = REGION) -> PresignedUrls:
    """Return URLs of the store at `url`, `http[s]://host[:port]`. Nothing is ever sent."""
    address = urlsplit(url)
    return PresignedUrls(
        Minio(
            address.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=address.scheme == "https",
            region=region,
        )
    )


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code in _CHANGED:
            raise object_changed(error.object_name or "") from None
        if error.code in _MISSING:
            raise ObjectNotFound(
                f"Object {error.object_name or error.bucket_name} is not in the store."
            ) from None
        raise StoreUnavailable(f"The object store is unavailable ({error.code}: {error.message}).") from error
    except (
        ServerError,
        InvalidResponseError,
        MinioException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise StoreUnavailable(
            f"The object store is unavailable ({type(error).__name__}). Try again in 5 s."
        ) from error
