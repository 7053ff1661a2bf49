"""Downloads that go on where they were cut, also after the end of the process, and are verified."""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import requests
from urllib3.exceptions import HTTPError

from msaas_client.errors import ClientError, DamagedDownload, InvalidReply, Unreachable
from msaas_client.transport import Transport
from msaas_client.uploads import OnBytes, hash_file, ignore_bytes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CHUNK_BYTES = 1 << 18
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Connections in a row that end without a byte.
_MAX_EMPTY = 5
_PAUSE_S = 0.5
#: The size and the SHA-256 are those of the file as it is stored.
_PLAIN = {"Accept-Encoding": "identity"}


@dataclass(frozen=True)
class _Source:
    """A file of the server. Its `ETag` is the SHA-256 of its content."""

    path: str
    etag: str
    size_bytes: int

    @property
    def sha256(self) -> str:
        text = self.etag.removeprefix("W/").strip('"')
        return text if _SHA256.fullmatch(text) else ""

    def is_in(self, file: Path) -> bool:
        """Return whether the file has the content. Without a SHA-256 only its size counts."""
        if not file.is_file() or file.stat().st_size != self.size_bytes:
            return False
        return not self.sha256 or hash_file(file) == self.sha256


def download(transport: Transport, path: str, target: Path, *, on_bytes: OnBytes = ignore_bytes) -> None:
    """Store the file at `path` as `target`, unless it is there already.

    Until it is whole and verified it has another name, which the next download of the same content finds.

    Raises:
        DamagedDownload: the content differs from its SHA-256.
        RequestFailed, Unreachable: the server does not deliver it.
    """
    source = _look_at(transport, path)
    if source.sha256 and source.is_in(target):
        return on_bytes(source.size_bytes)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _open_part(target, source) as part:
        _complete(transport, source, part, on_bytes=on_bytes)
        if not source.is_in(part):
            part.unlink()
            raise DamagedDownload(
                f"{target.name} was damaged or replaced during its download. Fetch it again."
            )
        part.replace(target)


def _look_at(transport: Transport, path: str) -> _Source:
    headers = transport.call("HEAD", path, headers=_PLAIN).headers
    size = headers.get("Content-Length", "")
    if not size.isdecimal():
        raise InvalidReply(f"The reply for {path} has no Content-Length.")
    return _Source(path, headers.get("ETag", ""), int(size))


@contextmanager
def _open_part(target: Path, source: _Source) -> Iterator[Path]:
    """Yield the name of a part that no other download writes to.

    It is the part that an earlier download left behind, unless that one still goes on. Without the locks
    of POSIX no part is used again.
    """
    part = target.with_name(f".{target.name}.{source.sha256[:12]}.part")
    if source.sha256 and fcntl:
        with open(part, "ab") as file:
            if _lock(file) and part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                yield part
                return
    own = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield own
    finally:
        own.unlink(missing_ok=True)


def _lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed. Return False if another download has the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _complete(transport: Transport, source: _Source, part: Path, *, on_bytes: OnBytes) -> None:
    """Append to the part until it has the size of the source."""
    empty = 0
    while (size_bytes := _size_of(part)) < source.size_bytes:
        try:
            _append(transport, source, part, offset=size_bytes, on_bytes=on_bytes)
        except (requests.RequestException, HTTPError):
            empty = 0 if _size_of(part) > size_bytes else empty + 1
            if empty >= _MAX_EMPTY:
                raise Unreachable(f"The download of {source.path} was cut {empty} times in a row.") from None
            time.sleep(_PAUSE_S)
        else:
            if _size_of(part) <= size_bytes:
                raise ClientError(f"{source.path} is shorter than the server says.")


def _append(transport: Transport, source: _Source, part: Path, *, offset: int, on_bytes: OnBytes) -> None:
    """Request the rest. If the server sends the whole file, begin anew."""
    headers = _PLAIN | ({"Range": f"bytes={offset}-", "If-Range": source.etag} if offset else {})
    with transport.call("GET", source.path, headers=headers, stream=True) as reply:
        is_rest = reply.status_code == HTTPStatus.PARTIAL_CONTENT
        with open(part, "ab" if is_rest else "wb") as file:
            for chunk in reply.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                on_bytes(file.tell())


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
