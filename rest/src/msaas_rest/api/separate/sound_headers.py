"""Files whose headers show that no sound follows: broken recordings, and files that were cut off early."""

from collections.abc import Iterator
from mmap import mmap

from msaas.containers import Container
from msaas.mpeg.tags import skip_tags
from msaas.sound_chunks import find_chunk

#: Headers are before this. A file whose samples begin later is left to the worker.
_HEADERS_BYTES = 1024 * 1024
#: The name of the chunk of samples, and the bytes of its content before the first sample.
_SAMPLES = {
    "WAV": (b"data", 0),
    "WAV with other codecs": (b"data", 0),
    "AIFF": (b"SSND", 8),
    "CAF": (b"data", 4),
    "Wave64": (b"data", 0),
}
_ATOM_BYTES, _LARGE_ATOM_BYTES = 8, 16
_INDEXES = (b"moov", b"moof")
#: Hostile files have many small atoms.
_MAX_ATOMS = 10_000


def find_defect(data: mmap, container: Container) -> str | None:
    """Return a sentence about the reason why the file has no sound, None if it may have some."""
    if container.name == "MP4" and not _may_have_index(data):
        return "The MP4 file has no index (moov). Its recording was interrupted, or its end is missing."
    if container.name in _SAMPLES and not _may_have_samples(data, *_SAMPLES[container.name]):
        return f"The {container.name} file has no sound: it ends before its samples begin."
    return None


def _may_have_samples(data: mmap, chunk: bytes, bytes_before: int) -> bool:
    at = find_chunk(data, chunk, end=_HEADERS_BYTES)
    return len(data) > (_HEADERS_BYTES if at is None else at + bytes_before)


def _may_have_index(data: mmap) -> bool:
    """Return False if the atoms up to the end of the file are known, and none is an index."""
    end = 0
    for number, (name, atom_end) in enumerate(_atoms(data)):
        if name in _INDEXES or number == _MAX_ATOMS:
            return True
        end = atom_end
    return end < len(data)


def _atoms(data: mmap) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the end of each atom behind tags, until one has an impossible size.

    See ISO 14496-12.
    """
    at = skip_tags(data, 0)
    while at + _ATOM_BYTES <= len(data):
        size, header_bytes = int.from_bytes(data[at : at + 4]), _ATOM_BYTES
        if size == 1:
            size, header_bytes = int.from_bytes(data[at + 8 : at + 16]), _LARGE_ATOM_BYTES
        elif size == 0:
            size = len(data) - at
        if size < header_bytes:
            return
        yield data[at + 4 : at + 8], at + size
        at += size
