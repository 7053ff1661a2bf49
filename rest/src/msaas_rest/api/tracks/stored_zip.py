"""ZIP files without compression. Their size is known before a byte is read, and any range can be read.

Source: PKWARE APPNOTE 6.3.10. Members and archives of 4 GiB and more have the fields of Zip64.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from msaas.errors import ObjectChanged

#: From this value on a field of 32 or 16 bits says that Zip64 has the number.
_MAX_32, _MAX_16 = 0xFFFFFFFF, 0xFFFF
_VERSION, _VERSION_ZIP64 = 20, 45
_UTF_8_NAMES = 1 << 11
_STORED = 0
#: 1980-01-01, the first date of ZIP: equal stems make equal archives.
_TIME, _DATE = 0, 0x21
_UNIX = 3 << 8
_READABLE_FILE = 0o100644 << 16
_ZIP64_EXTRA = 1

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END_ZIP64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_ZIP64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")


class Member(Protocol):
    """A file of the archive. Its methods are called when their bytes are needed."""

    name: str
    size_bytes: int

    def crc32(self) -> int: ...

    def read(self, *, offset: int, length: int) -> Iterator[bytes]: ...


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Bytes from `start` to `stop` of the archive. `read` takes an offset in them and a length."""

    start: int
    stop: int
    read: Callable[[int, int], Iterator[bytes]]


class StoredZip:
    """The archive of `members`, in their order. Reading raises the errors of the members."""

    def __init__(self, *, members: Sequence[Member]) -> None:
        self._members = members
        self._offsets: list[int] = []
        self._parts: list[_Part] = []
        self.size_bytes = 0
        for member in members:
            self._offsets.append(self.size_bytes)
            self._add(len(_local_header(member, 0)), _bytes_reader(partial(_header_of, member)))
            self._add(member.size_bytes, _member_reader(member))
        self._directory_at = self.size_bytes
        self._add(len(self._directory([0] * len(members))), _bytes_reader(self._directory))

    def read(self, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield `length` bytes from `offset` in chunks, by default all."""
        stop = self.size_bytes if length is None else offset + length
        for part in self._parts:
            first, last = max(offset, part.start), min(stop, part.stop)
            if first < last:
                yield from part.read(first - part.start, last - first)

    def _add(self, size_bytes: int, read: Callable[[int, int], Iterator[bytes]]) -> None:
        start = self.size_bytes
        self.size_bytes += size_bytes
        self._parts.append(_Part(start=start, stop=self.size_bytes, read=read))

    def _directory(self, checksums: Sequence[int] | None = None) -> bytes:
        """Return the central directory and its end. `checksums` of the right number give the same size."""
        if checksums is None:
            checksums = [member.crc32() for member in self._members]
        entries = b"".join(map(_central_header, self._members, checksums, self._offsets))
        return entries + _end(len(self._members), len(entries), self._directory_at)


def _header_of(member: Member) -> bytes:
    return _local_header(member, member.crc32())


def _bytes_reader(make: Callable[[], bytes]) -> Callable[[int, int], Iterator[bytes]]:
    def read(offset: int, length: int) -> Iterator[bytes]:
        yield make()[offset : offset + length]

    return read


def _member_reader(member: Member) -> Callable[[int, int], Iterator[bytes]]:
    def read(offset: int, length: int) -> Iterator[bytes]:
        missing = length
        for chunk in member.read(offset=offset, length=length):
            missing -= len(chunk)
            yield chunk
        if missing:
            raise ObjectChanged(f"{missing} bytes of {member.name} are missing.")

    return read


def _local_header(member: Member, crc32: int) -> bytes:
    name, size = member.name.encode(), member.size_bytes
    extra = _zip64_extra(size, size) if size >= _MAX_32 else b""
    fixed = _fixed_fields(member, crc32, version=_version(extra), extra=extra)
    return _LOCAL.pack(b"PK\3\4", *fixed) + name + extra


def _central_header(member: Member, crc32: int, offset: int) -> bytes:
    size = member.size_bytes
    large = [each for each in (size, size, offset) if each >= _MAX_32]
    extra = _zip64_extra(*large) if large else b""
    version = _version(extra)
    fixed = _fixed_fields(member, crc32, version=version, extra=extra)
    no_comment, disk, internal = 0, 0, 0
    rest = (no_comment, disk, internal, _READABLE_FILE, min(offset, _MAX_32))
    return _CENTRAL.pack(b"PK\1\2", _UNIX | version, *fixed, *rest) + member.name.encode() + extra


def _fixed_fields(member: Member, crc32: int, *, version: int, extra: bytes) -> tuple[int, ...]:
    """Return the fields that both headers have."""
    size = min(member.size_bytes, _MAX_32)
    name_bytes = len(member.name.encode())
    return (version, _UTF_8_NAMES, _STORED, _TIME, _DATE, crc32, size, size, name_bytes, len(extra))


def _zip64_extra(*numbers: int) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", _ZIP64_EXTRA, 8 * len(numbers), *numbers)


def _version(extra: bytes) -> int:
    return _VERSION_ZIP64 if extra else _VERSION


def _end(count: int, size: int, offset: int) -> bytes:
    """Return the end of the central directory, which has `size` bytes from `offset` on."""
    number = min(count, _MAX_16)
    end = _END.pack(b"PK\5\6", 0, 0, number, number, min(size, _MAX_32), min(offset, _MAX_32), 0)
    if offset < _MAX_32 and count < _MAX_16:
        return end
    version = _VERSION_ZIP64
    rest = _END_ZIP64.size - 12
    zip64 = _END_ZIP64.pack(b"PK\6\6", rest, _UNIX | version, version, 0, 0, count, count, size, offset)
    return zip64 + _LOCATOR_ZIP64.pack(b"PK\6\7", 0, offset + size, 1) + end
