"""The archive of a result: a tar of four MP3 stems, as workers without a store upload it.

Peaks and the analysis of the song follow the stems if the backend takes them.

The reader trusts nothing. It does without `tarfile.open`, which reads extended headers of any size into
memory.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from msaas.errors import MalformedStemTar, StemTooLarge
from msaas.mpeg.parts import Part
from msaas.mpeg.walk import Frame, walk

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: The stems of an archive, in the order of their files.
TAR_STEMS = ("bass", "drums", "other", "vocals")
_STEM_FILES = {f"{stem}.mp3": stem for stem in TAR_STEMS}
_PEAKS_FILES = {f"{stem}.peaks": stem for stem in TAR_STEMS}
_ANALYSIS_FILE = "analysis.json"
_NAMES = {*_STEM_FILES, *_PEAKS_FILES, _ANALYSIS_FILE}
#: The further files of an archive, as the message of a song names them. `analysis` is that of version 1.
PEAKS, ANALYSIS = "peaks", "analysis"
EXTRAS = (PEAKS, ANALYSIS)
_CONTENT = (
    f"It must have exactly {', '.join(_STEM_FILES)}. "
    f"It may also have {', '.join(_PEAKS_FILES)} and {_ANALYSIS_FILE}."
)

_BLOCK_BYTES = 512
_CHUNK_BYTES = 256 * 1024
#: Two blocks of zeros end an archive.
_END = bytes(2 * _BLOCK_BYTES)
#: Writers fill the last record, of at most so many bytes, with zeros.
_MAX_FILL_BYTES = 1024 * 1024
#: Python's `tarfile` writes such a header for the time of each file, with fewer bytes than this.
_MAX_PAX_BYTES = 16 * 1024
#: Fields of extended headers that change neither the name nor the size of a file.
_HARMLESS_FIELDS = {"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"}
_LAYER_III = 3
#: 320 kbit/s, the highest bit rate of an MP3.
_STEM_BYTES_PER_S = 40_000
#: Of the tags, a cover and the last frames of a stem.
_STEM_EXTRA_BYTES = 16 * 1024 * 1024
#: An encoder adds some frames to a song.
_ENCODER_S = 1.0
#: Peaks are two bytes for each block of samples.
_PAIR_BYTES, _PAIR_SAMPLES = 2, 512
#: The highest sample rate of an MP3.
_MAX_RATE_HZ = 48_000
#: An analysis has its beats, as seconds in text, and some facts.
_ANALYSIS_BYTES_PER_S, _ANALYSIS_EXTRA_BYTES = 64, 64 * 1024
#: Frames must be at least this share of a stem. The rest is tags and cover.
_LEAST_SHARE_OF_FRAMES = 0.5


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class TarLimits:
    """`stem_bytes` is the size of the largest stem, `duration_s` the length of the longest one."""

    stem_bytes: int = 512 * 1024 * 1024
    duration_s: float = 7200.0

    @classmethod
    def of_songs(cls, *, max_duration_s: float) -> "TarLimits":
        """Return the limits of the result of the longest song."""
        return cls(
            stem_bytes=round(_STEM_BYTES_PER_S * max_duration_s) + _STEM_EXTRA_BYTES,
            duration_s=max_duration_s + _ENCODER_S,
        )

    @property
    def peaks_bytes(self) -> int:
        """The size of the peaks of the longest stem."""
        return _size_of_peaks(ceil(self.duration_s * _MAX_RATE_HZ))

    @property
    def analysis_bytes(self) -> int:
        """The size of the largest analysis."""
        return ceil(self.duration_s * _ANALYSIS_BYTES_PER_S) + _ANALYSIS_EXTRA_BYTES

    @property
    def archive_bytes(self) -> int:
        """The size of the largest archive."""
        content_bytes = len(TAR_STEMS) * (self.stem_bytes + self.peaks_bytes) + self.analysis_bytes
        return content_bytes + len(_NAMES) * (_MAX_PAX_BYTES + 3 * _BLOCK_BYTES) + _MAX_FILL_BYTES

    def check(self, name: str, *, size_bytes: int) -> None:
        """Raise an error if the file of an archive is too large.

        Raises:
            StemTooLarge: it is a stem.
            MalformedStemTar: it is another file.
        """
        if stem := _STEM_FILES.get(name):
            if size_bytes > self.stem_bytes:
                raise StemTooLarge(
                    f"The stem {stem!r} has {size_bytes} bytes. A stem may have {self.stem_bytes}."
                )
            return
        limit_bytes = self.peaks_bytes if name in _PEAKS_FILES else self.analysis_bytes
        if size_bytes > limit_bytes:
            raise MalformedStemTar(f"The file {name} has {size_bytes} bytes. It may have {limit_bytes}.")


@dataclass(frozen=True, kw_only=True)
class ReceivedFile:
    """A file of an archive."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ReceivedStem(ReceivedFile):
    """A stem of an archive. `samples` at `samplerate` Hz are its length, which its frames tell.

    `peaks` are the lowest and the highest sample of every 512, as signed bytes, None if there are none.
    """

    samples: int
    samplerate: int
    peaks: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ReceivedResult:
    """The files of an archive. The content of the analysis is not checked."""

    stems: Mapping[str, ReceivedStem]
    analysis: Path | None = None


def read_stem_tar(stream: Readable, folder: Path, *, limits: TarLimits = TarLimits()) -> ReceivedResult:
    """Write the files of an archive into `folder`, which must be empty, and check stems and peaks.

    `stream` is read to its end, in blocks. No name of the archive becomes a path.

    Raises:
        MalformedStemTar: the archive is not a tar of the four stems and their further files, a stem is not an
            MP3, peaks do not have the length of their stem, or a further file is too large.
        StemTooLarge: a stem has too many bytes, or is too long.
    """
    files: dict[str, ReceivedFile] = {}
    reader = _BlockReader(stream)
    while header := _read_header(reader):
        name = _name_of(header)
        if name in files:
            raise MalformedStemTar(f"The archive has two files {name!r}.")
        limits.check(name, size_bytes=header.size)
        files[name] = _spool(reader, folder / name, size_bytes=header.size)
    if missing := [stem for name, stem in _STEM_FILES.items() if name not in files]:
        raise MalformedStemTar(f"The archive has no file for the stems {', '.join(missing)}.")
    stems = {
        stem: _measure_mp3(stem, files[name], max_duration_s=limits.duration_s)
        for name, stem in _STEM_FILES.items()
    }
    for name, stem in _PEAKS_FILES.items():
        if peaks := files.get(name):
            stems[stem] = _add_peaks(stem, stems[stem], peaks)
    analysis = files.get(_ANALYSIS_FILE)
    return ReceivedResult(stems=stems, analysis=analysis.path if analysis else None)


class _BlockReader:
    """Reads exact numbers of bytes."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def exactly(self, size: int) -> bytes:
        """Return `size` bytes. Raises `MalformedStemTar` at an earlier end."""
        data = self.at_most(size)
        if len(data) < size:
            raise MalformedStemTar("The archive ends before its end mark. Send all of it.")
        return data

    def at_most(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and (part := self._stream.read(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def _read_header(reader: _BlockReader) -> tarfile.TarInfo | None:
    """Return the header of the next file, None at the end of the archive."""
    has_fields = False
    while True:
        block = reader.exactly(_BLOCK_BYTES)
        if not any(block):
            if has_fields:
                raise MalformedStemTar("The archive ends after an extended header, before its file.")
            _skip_fill(reader)
            return None
        header = _parse_header(block)
        if header.type != tarfile.XHDTYPE:
            return header
        if has_fields:
            raise MalformedStemTar("A file of the archive has two extended headers.")
        _check_fields(reader, header)
        has_fields = True


def _parse_header(block: bytes) -> tarfile.TarInfo:
    if block.startswith(b"\x1f\x8b"):
        raise MalformedStemTar("The archive is compressed by gzip. Send it uncompressed.")
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        raise MalformedStemTar("The archive is not a tar, or one of its headers is damaged.") from None
    if header.size < 0:
        raise MalformedStemTar("A file of the archive has a negative size.")
    return header


def _skip_fill(reader: _BlockReader) -> None:
    """Read the rest of the stream. Raises `MalformedStemTar` if it is not the fill of the last record."""
    fill = reader.at_most(_MAX_FILL_BYTES + 1)
    if len(fill) > _MAX_FILL_BYTES or any(fill):
        raise MalformedStemTar("Bytes follow the end mark of the archive.")


def _check_fields(reader: _BlockReader, header: tarfile.TarInfo) -> None:
    """Raise `MalformedStemTar` if an extended header changes the name, the size or the kind of its file."""
    if header.size > _MAX_PAX_BYTES:
        raise MalformedStemTar(f"An extended header of the archive has {header.size} bytes.")
    records = reader.exactly(_padded(header.size))[: header.size]
    for name in _field_names(records):
        if name not in _HARMLESS_FIELDS:
            raise MalformedStemTar(f"The archive has the extended field {name[:64]!r}. Leave it out.")


def _field_names(records: bytes) -> Iterator[str]:
    """Yield the name of each record `<length> <name>=<value>\\n` (POSIX.1-2001, pax)."""
    at = 0
    while at < len(records):
        digits, space, _ = records[at : at + 8].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = records[at + len(digits) + 1 : at + length]
        name, equals, _ = record.partition(b"=")
        if length <= len(digits) + 1 or at + length > len(records) or not equals or record[-1:] != b"\n":
            raise MalformedStemTar("An extended header of the archive is damaged.")
        yield name.decode("utf-8", "replace")
        at += length


def _name_of(header: tarfile.TarInfo) -> str:
    """Return the name of a file. Raises `MalformedStemTar` if it is not a regular file of a result."""
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise MalformedStemTar(
            f"The archive has an entry that is not a regular file: {header.name[:64]!r}. {_CONTENT}"
        )
    name = header.name.removeprefix("./")
    if name not in _NAMES:
        raise MalformedStemTar(f"The archive has the file {header.name[:64]!r}. {_CONTENT}")
    return name


def _spool(reader: _BlockReader, path: Path, *, size_bytes: int) -> ReceivedFile:
    digest, missing = hashlib.sha256(), size_bytes
    with open(path, "xb") as file:
        while missing:
            chunk = reader.exactly(min(_CHUNK_BYTES, missing))
            digest.update(chunk)
            file.write(chunk)
            missing -= len(chunk)
    reader.exactly(_padded(size_bytes) - size_bytes)
    return ReceivedFile(path=path, size_bytes=size_bytes, sha256=digest.hexdigest())


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def _measure_mp3(stem: str, received: ReceivedFile, *, max_duration_s: float) -> ReceivedStem:
    """Return the stem with its length.

    Raises:
        MalformedStemTar: the file is not an MP3.
        StemTooLarge: it is too long.
    """
    frames_bytes, seconds = 0, 0.0
    parts: list[Part] = []
    for frame in _frames(received):
        stream = frame.header.stream
        frames_bytes += frame.size_bytes
        seconds += stream.samples / stream.rate_hz
        if seconds > max_duration_s:
            raise StemTooLarge(f"The stem {stem!r} is longer than {max_duration_s:g} s.")
        if frame.part or not parts:
            parts.append(Part.of(frame))
        parts[-1].add(frame)
    if not frames_bytes or frames_bytes < _LEAST_SHARE_OF_FRAMES * received.size_bytes:
        raise MalformedStemTar(f"The file of the stem {stem!r} is not an MP3.")
    rate_hz = parts[0].stream.rate_hz
    return ReceivedStem(
        path=received.path,
        size_bytes=received.size_bytes,
        sha256=received.sha256,
        samples=round(sum(part.seconds for part in parts) * rate_hz),
        samplerate=rate_hz,
    )


def _add_peaks(stem: str, received: ReceivedStem, peaks: ReceivedFile) -> ReceivedStem:
    """Return the stem with its peaks. Raises `MalformedStemTar` if they have another length."""
    if peaks.size_bytes != (size_bytes := _size_of_peaks(received.samples)):
        raise MalformedStemTar(
            f"The peaks of the stem {stem!r} have {peaks.size_bytes} bytes. "
            f"Its {received.samples} samples need {size_bytes}."
        )
    return replace(received, peaks=peaks.path)


def _size_of_peaks(samples: int) -> int:
    return _PAIR_BYTES * ceil(samples / _PAIR_SAMPLES)


def _frames(received: ReceivedFile) -> Iterator[Frame]:
    """Yield the frames of layer III."""
    if not received.size_bytes:
        return
    with open(received.path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for frame in walk(data):
            if frame.header.stream.layer == _LAYER_III:
                yield frame


@dataclass(frozen=True, kw_only=True)
class ExtraFiles:
    """Files that follow the stems of an archive: `peaks` by stem, and the analysis."""

    peaks: Mapping[str, Path] = field(default_factory=dict)
    analysis: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.peaks or self.analysis)

    def by_name(self) -> dict[str, Path]:
        """Return the files by their names in the archive, in its order."""
        files = {name: self.peaks[stem] for name, stem in _PEAKS_FILES.items() if stem in self.peaks}
        return files | ({_ANALYSIS_FILE: self.analysis} if self.analysis else {})


class StemTar(io.RawIOBase):
    """The archive of four stems and further files, as a stream that is as long as `len` says.

    Its bytes depend on the files only. `check` is called before each read: an error of it ends the upload.
    """

    def __init__(
        self, stems: Mapping[str, Path], *, extras: ExtraFiles = ExtraFiles(), check: Callable[[], None]
    ) -> None:
        super().__init__()
        self._check = check
        files = {name: stems[stem] for name, stem in _STEM_FILES.items()} | extras.by_name()
        self._chunks = self._read_files(files)
        self._sizes = {name: path.stat().st_size for name, path in files.items()}
        self._rest = memoryview(b"")
        self._position = 0

    def __len__(self) -> int:
        return sum(_BLOCK_BYTES + _padded(size) for size in self._sizes.values()) + len(_END)

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._check()
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self._position += size
        return size

    def _read_files(self, files: Mapping[str, Path]) -> Generator[bytes, None, None]:
        for name, path in files.items():
            size = self._sizes[name]
            yield _header_of(name, size_bytes=size)
            with open(path, "rb") as file:
                yield from _read_chunks(file)
            if fill := _padded(size) - size:
                yield bytes(fill)
        yield _END

    def close(self) -> None:
        self._chunks.close()
        super().close()


def _read_chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _header_of(name: str, *, size_bytes: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = size_bytes
    return header.tobuf(format=tarfile.USTAR_FORMAT)
