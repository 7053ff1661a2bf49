"""The walk over the frames of a file: it skips tags and foreign bytes, and damage costs a frame at most."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from mmap import mmap

from msaas.mapped_file import STEP_BYTES, release_pages
from msaas.mpeg.headers import HEADER_BYTES, SYNC, Header, Stream, read_header
from msaas.mpeg.info import INFO_BYTES, Info, read_info
from msaas.mpeg.tags import skip_tags

#: So many frames in a row are not a coincidence.
_CHAIN_FRAMES = 3
#: A hostile file is full of near-frames: the rest of it is not read.
_MAX_CANDIDATES = 100_000
#: A frame of the free format has at most so many bytes.
_MAX_FREE_BYTES = 8192
#: A longer gap is not a row of damaged frames.
_MAX_LOST_FRAMES = 400
#: Places with tags. Behind them tags count as foreign bytes: each takes time.
_MAX_TAGGED = 1000
#: Frames that were overwritten leave a gap of their size, to so many bytes. Inserted bytes hardly do.
_GAP_TOLERANCE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of audio.

    `lost` frames before it are damaged beyond recognition. `repaired` replaces a damaged header. `part`
    is that of the first frame, and of the first of each file that was appended to another.
    """

    offset: int
    size_bytes: int
    header: Header
    lost: int = 0
    repaired: bytes | None = None
    part: Info | None = None

    @property
    def end(self) -> int:
        return self.offset + self.size_bytes


def walk(data: bytes | mmap) -> Iterator[Frame]:
    """Yield the frames of audio, from the first chain of frames on."""
    return _Walk(data).frames()


class _Walk:
    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._candidates = iter(range(_MAX_CANDIDATES))
        self._tagged = 0
        self._stream: Stream | None = None
        #: The size of a frame of the free format without padding.
        self._free_bytes = 0
        self._last: Frame | None = None
        #: Frames of this stream so far, their bytes, and their different sizes.
        self._taken = self._taken_bytes = 0
        self._sizes_bytes: set[int] = set()

    def frames(self) -> Iterator[Frame]:
        at = self._find_chain(0)
        part: Info | None = Info()
        lost = released = 0
        while at is not None:
            frame = self._read_frame(at) or self._repair_frame(at)
            if not frame:
                at, lost, part = self._resume(at, part)
                continue
            if info := self._read_info(frame):
                part, lost = info, 0
            else:
                yield replace(frame, lost=lost, part=part)
                self._count(frame)
                part, lost = None, 0
            at = frame.end
            released = release_pages(self._data, released, end=at)

    def _header(self, at: int) -> Header | None:
        return read_header(self._data[at : at + HEADER_BYTES])

    def _read_frame(self, at: int) -> Frame | None:
        """Return the frame of this stream at `at`, if it is whole."""
        header = self._header(at)
        if header is None or header.stream != self._stream:
            return None
        frame = Frame(at, header.size_bytes or self._free_bytes + header.padding_bytes, header)
        return frame if frame.end <= len(self._data) else None

    def _repair_frame(self, at: int) -> Frame | None:
        """Return the frame at `at` if only its header is damaged: frames follow it in their places."""
        last = self._last
        if not last or last.header.stream != self._stream:
            return None
        bare_bytes = last.size_bytes - last.header.padding_bytes
        for padding_bytes in (0, self._stream.slot_bytes):
            end = at + bare_bytes + padding_bytes
            if self._begins_chain(end, self._stream, self._free_bytes):
                word = _with_padding(self._word_of(last), has_padding=padding_bytes > 0)
                header = read_header(word) or last.header
                return Frame(at, end - at, header, repaired=word)
        return None

    def _word_of(self, frame: Frame) -> bytes:
        return frame.repaired or self._data[frame.offset : frame.offset + HEADER_BYTES]

    def _read_info(self, frame: Frame) -> Info | None:
        if frame.repaired:
            return None
        end = min(frame.end, frame.offset + INFO_BYTES)
        return read_info(self._data[frame.offset : end], frame.header.stream)

    def _resume(self, at: int, part: Info | None) -> tuple[int | None, int, Info | None]:
        """Return the start of the next chain, the frames lost before it, and the part that begins there."""
        before = self._stream
        found = self._find_chain(at)
        if found is None or self._skip_tags(at) != at or self._stream != before:
            return found, 0, part or Info()
        return found, self._count_lost(found - at), part

    def _count(self, frame: Frame) -> None:
        if not self._last or self._last.header.stream != frame.header.stream:
            self._taken = self._taken_bytes = 0
            self._sizes_bytes = set()
        self._last = frame
        self._taken += 1
        self._taken_bytes += frame.size_bytes
        self._sizes_bytes.add(frame.size_bytes)

    def _count_lost(self, gap_bytes: int) -> int:
        """Return the number of frames that the gap was, 0 if it is foreign bytes."""
        if not self._taken:
            return 0
        if gap_bytes in self._sizes_bytes:
            return 1
        average_bytes = self._taken_bytes / self._taken
        lost = round(gap_bytes / average_bytes)
        fits = abs(gap_bytes - lost * average_bytes) <= _GAP_TOLERANCE_BYTES
        return lost if fits and lost <= _MAX_LOST_FRAMES else 0

    def _find_chain(self, at: int) -> int | None:
        """Find the next chain of frames and take over its stream. Return None at the end of the data.

        Tags may lie about their size: they are searched, too, if no chain is behind them.
        """
        behind_tags = self._skip_tags(at)
        found = self._search_chain(behind_tags)
        return self._search_chain(at) if found is None and behind_tags != at else found

    def _skip_tags(self, at: int) -> int:
        if self._tagged > _MAX_TAGGED:
            return at
        behind = skip_tags(self._data, at)
        self._tagged += behind != at
        return behind

    def _search_chain(self, start: int) -> int | None:
        while start < len(self._data):
            end = (start // STEP_BYTES + 1) * STEP_BYTES
            for match, _ in zip(
                SYNC.finditer(self._data, start, end + HEADER_BYTES), self._candidates, strict=False
            ):
                if self._take_chain(match.start()):
                    return match.start()
            release_pages(self._data, end - STEP_BYTES, end=end)
            start = end
        return None

    def _take_chain(self, at: int) -> bool:
        """Take over the stream of the chain that begins at `at`, if one does."""
        header = self._header(at)
        if header is None:
            return False
        free_bytes = 0 if header.size_bytes else self._measure_free_frame(at, header)
        if not header.size_bytes and not free_bytes:
            return False
        if not self._begins_chain(at, header.stream, free_bytes):
            return False
        self._stream, self._free_bytes = header.stream, free_bytes
        return True

    def _begins_chain(self, at: int, stream: Stream | None, free_bytes: int) -> bool:
        """Return whether frames of this stream follow each other from `at` on.

        Those of the stream of the walk may be fewer at the end of the data.
        """
        for followed in range(_CHAIN_FRAMES):
            if at == len(self._data):
                return followed > 0 and stream == self._stream
            header = self._header(at)
            if header is None or header.stream != stream or not (header.size_bytes or free_bytes):
                return False
            at += header.size_bytes or free_bytes + header.padding_bytes
        return True

    def _measure_free_frame(self, at: int, first: Header) -> int:
        """Return the distance to the next frame like this one, less its padding. 0 if there is none."""
        window = self._data[at : at + _MAX_FREE_BYTES]
        for match in SYNC.finditer(window, HEADER_BYTES):
            header = read_header(window[match.start() : match.start() + HEADER_BYTES])
            if header and header.stream == first.stream and not header.size_bytes:
                return match.start() - first.padding_bytes
        return 0


def _with_padding(word: bytes, *, has_padding: bool) -> bytes:
    return word[:2] + bytes([word[2] & ~2 | has_padding << 1]) + word[3:]
