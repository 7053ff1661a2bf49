"""Checks of a song before it is stored: its kind, and its length as far as its headers tell it."""

from dataclasses import dataclass
from itertools import islice
from mmap import ACCESS_READ, mmap
from typing import BinaryIO, cast

from tinytag import TinyTag

from msaas.containers import HEAD_BYTES, Container, Decoder, read_aiff_codec, recognise
from msaas.errors import NotAudio, SongTooLong, UndecodableSong
from msaas.links import FIND_LINKS
from msaas.mpeg.parts import measure_parts
from msaas_rest.api.separate.sound_headers import find_defect

#: A library that reads more follows a forged header.
_MAX_READ_BYTES = 4 * 1024 * 1024
#: Their headers tell the length. A WAV that came through a pipe claims any length.
_UNCOMPRESSED = ("WAV", "AIFF")
_TELLING = (*_UNCOMPRESSED, "MP4", "WMA")
#: Hostile files have many. The worker measures further ones.
_MAX_LINKS = 100
#: A header that claims a longer song for the size of the file, at 8 kbit/s, may be damaged.
_MIN_BYTES_PER_S = 1000


@dataclass(frozen=True)
class CheckedSong:
    """`seconds` is None where no header tells the length. The song of joined files may be longer."""

    container: Container
    seconds: float | None


def check_song(song: BinaryIO, *, max_s: float) -> CheckedSong:
    """Return the kind and the length of the song.

    The length of an MP3 is that of its frames, without delays and paddings. That of a FLAC or Ogg file is
    told by the numbers of its frames or pages. That of another file is the claim of its header, if a file of
    its size can be so long: the worker measures it later.

    Raises:
        NotAudio: the kind of the file is unknown.
        SongTooLong: the song is longer than `max_s`.
        UndecodableSong: the headers tell that the file has no sound.
    """
    song.flush()
    with mmap(song.fileno(), 0, access=ACCESS_READ) as data:
        container = recognise(data)
        if container is None:
            raise NotAudio("The file is not audio of a known kind. Send an MP3, WAV, FLAC, M4A or Ogg file.")
        if container.decoder is Decoder.MPEG:
            return CheckedSong(container, _mpeg_seconds(data, max_s=max_s))
        if defect := find_defect(data, container):
            raise UndecodableSong(defect)
        seconds = _measure_links(data, container) or _claimed_seconds(song, container)
    if seconds and seconds > max_s:
        raise _too_long(max_s)
    return CheckedSong(container, seconds)


def _mpeg_seconds(data: mmap, *, max_s: float) -> float:
    """Return the length that the worker will decode. Raises as `check_song` does."""
    seconds = 0.0
    for part, is_complete in measure_parts(data):
        seconds += part.seconds if is_complete else 0
        if seconds + (0 if is_complete else part.least_seconds) > max_s:
            raise _too_long(max_s)
    if not seconds:
        raise UndecodableSong(
            "The MP3 has no sound: the delay and padding in its Info frame are as long as all its frames."
        )
    return seconds


def _measure_links(data: mmap, container: Container) -> float | None:
    """Return the length of the parts that tell it, together: the song is at least as long."""
    find_links = FIND_LINKS.get(container.name)
    if find_links is None:
        return None
    return sum(link.measure(data) or 0 for link in islice(find_links(data), _MAX_LINKS)) or None


def _claimed_seconds(song: BinaryIO, container: Container) -> float | None:
    if container.name not in _TELLING or _counts_packets(song):
        return None
    try:
        # Only the ending of the name counts.
        found = TinyTag.get(
            filename=f"song.{container.extension}",
            file_obj=cast(BinaryIO, _Bounded(song)),
            tags=False,
            duration=True,
        )
    except Exception:
        # The file is foreign: the library may fail in any way.
        return None
    if container.name in _UNCOMPRESSED and found.duration:
        return min(found.duration, _most_seconds(song, found)) or None
    is_plausible = found.duration and found.duration * _MIN_BYTES_PER_S <= song.seek(0, 2)
    return found.duration if is_plausible else None


def _counts_packets(song: BinaryIO) -> bool:
    """Return whether this is an AIFF whose header counts packets of 64 samples, as that of IMA ADPCM does."""
    song.seek(0)
    return read_aiff_codec(song.read(HEAD_BYTES)) == b"ima4"


def read_title(song: BinaryIO, container: Container) -> str:
    """Return the title in the tags of the song, an empty text if it has none."""
    try:
        found = TinyTag.get(
            filename=f"song.{container.extension}",
            file_obj=cast(BinaryIO, _Bounded(song)),
            tags=True,
            duration=False,
        )
    except Exception:
        # The file is foreign: the library may fail in any way.
        return ""
    return (found.title or "").encode(errors="replace").decode()


def _most_seconds(song: BinaryIO, found: TinyTag) -> float:
    """Return the length of a file that is full of samples."""
    bits_per_s = (found.samplerate or 0) * (found.channels or 0) * (found.bitdepth or 0)
    return song.seek(0, 2) * 8 / bits_per_s if bits_per_s else 0.0


class _Bounded:
    """An open file of which little is read. The library reads fields as long as the file claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_READ_BYTES
        file.seek(0)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise ValueError("too much is read")
        self._left -= size
        return self._file.read(size)


def _too_long(max_s: float) -> SongTooLong:
    return SongTooLong(f"The song is longer than {max_s:g} s, the limit of this service.")
