"""The walk finds every frame that a player would play."""

import threading
import time
from mmap import ACCESS_READ, mmap
from tempfile import TemporaryFile

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tests.frames import (
    FRAME,
    FRAME_48K,
    FREE,
    LAYER_1,
    LAYER_2,
    MONO,
    PADDED,
    SLOW,
    ape,
    id3,
    info_frame,
)
from msaas.mpeg.info import Info
from msaas.mpeg.walk import Frame, walk

#: No byte of it is a sync.
JUNK = bytes(range(1, 200)) * 100


def offsets(data: bytes) -> list[int]:
    return [frame.offset for frame in walk(data)]


def lost(data: bytes) -> list[int]:
    return [frame.lost for frame in walk(data) if frame.lost]


def parts(data: bytes) -> list[tuple[int, Info]]:
    return [(frame.offset, frame.part) for frame in walk(data) if frame.part]


@pytest.mark.parametrize("frame", [FRAME, MONO, FRAME_48K, SLOW, LAYER_1, LAYER_2, FREE])
def test_frames_of_every_kind_follow_each_other(frame: bytes) -> None:
    assert offsets(frame * 10) == [number * len(frame) for number in range(10)]


def test_padding_belongs_to_its_frame() -> None:
    assert offsets(FRAME + PADDED + FRAME + FRAME) == [0, 417, 835, 1252]


@pytest.mark.parametrize(
    "before",
    [
        id3(1000) + bytes(1000),
        id3(10, flags=0x10) + bytes(20),
        id3(5) + bytes(5) + id3(7) + bytes(7),
        ape(bytes(40)),
        bytes(100_000),
        JUNK,
        FRAME[100:],
        b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(60),
    ],
    ids=["ID3", "footer", "two tags", "APE", "zeros", "junk", "half a frame", "like AAC"],
)
def test_bytes_before_the_audio_are_skipped(before: bytes) -> None:
    assert offsets(before + FRAME * 10)[0] == len(before)
    assert len(offsets(before + FRAME * 10)) == 10


@pytest.mark.parametrize(
    "behind",
    [b"TAG" + bytes(125), ape(bytes(90_000)), JUNK, FRAME[:-1]],
    ids=["ID3v1", "APE", "junk", "half"],
)
def test_bytes_behind_the_audio_are_skipped(behind: bytes) -> None:
    assert len(offsets(FRAME * 10 + behind)) == 10


@pytest.mark.parametrize("size", [1 << 27, 2000])
def test_audio_is_found_although_a_tag_lies_about_its_size(size: int) -> None:
    assert len(offsets(id3(size) + FRAME * 10)) >= 3


@pytest.mark.parametrize("tags", [id3(0) * 400_000, (id3(1) + b"x") * 300_000, ape(b"") * 100_000])
def test_many_tags_take_no_time(tags: bytes) -> None:
    began = time.process_time()
    assert len(offsets(tags + FRAME * 10)) == 10
    assert time.process_time() - began < 1


def test_tags_between_all_frames_take_little_time() -> None:
    data = (FRAME * 4 + id3(0) * 100) * 16_000
    began = time.process_time()
    assert len(offsets(data)) == 64_000
    assert time.process_time() - began < 4


def test_inserted_bytes_take_no_time() -> None:
    data = FRAME * 5 + JUNK[:300] + FRAME * 5
    assert len(offsets(data)) == 10
    assert lost(data) == []


@pytest.mark.parametrize("number", [1, 2, 7])
def test_overwritten_frames_keep_their_time(number: int) -> None:
    data = FRAME * 5 + bytes(len(FRAME) * number) + FRAME * 5
    # A single frame is repaired: its place is known.
    assert len(offsets(data)) + sum(lost(data)) == 10 + number


def test_header_of_another_stream_is_repaired() -> None:
    data = bytearray(FRAME * 10)
    data[5 * len(FRAME) + 3] |= 0xC0
    frames = list(walk(bytes(data)))
    assert len(frames) == 10
    assert [frame.repaired for frame in frames if frame.repaired] == [FRAME[:4]]


def test_repaired_header_has_the_padding_of_its_frame() -> None:
    data = FRAME * 5 + b"\0" + PADDED[1:] + FRAME * 5
    frames = list(walk(data))
    assert [(frame.repaired, frame.size_bytes) for frame in frames if frame.repaired] == [(PADDED[:4], 418)]


@pytest.mark.parametrize("second", [MONO, FRAME_48K, SLOW, LAYER_2])
def test_another_stream_is_another_part(second: bytes) -> None:
    data = FRAME * 5 + second * 5
    assert len(offsets(data)) == 10
    assert [at for at, _ in parts(data)] == [0, 5 * len(FRAME)]


def test_info_frame_is_no_audio() -> None:
    data = info_frame(frames=5, delay=576, padding=1000) + FRAME * 5
    assert len(offsets(data)) == 5
    assert parts(data) == [(len(FRAME), Info(frames=5, delay=576, padding=1000))]


def test_each_joined_file_has_its_own_delays() -> None:
    first = info_frame(frames=5, delay=576, padding=1000) + FRAME * 5
    second = info_frame(frames=6, delay=1105, padding=2000) + FRAME * 6
    assert [info.delay for _, info in parts(first + second)] == [576, 1105]
    assert [info.delay for _, info in parts(first + id3(10) + bytes(10) + second)] == [576, 1105]


def test_info_frame_without_the_name_of_an_encoder_has_no_delays() -> None:
    [(_, info)] = parts(info_frame(frames=5, name=b"") + FRAME * 5)
    assert (info.frames, info.delay) == (5, None)


def test_delay_and_padding_are_cut() -> None:
    info = Info(frames=10, delay=576, padding=1000)
    assert info.start == 576 + 529
    assert info.end(frames=10, samples=1152) == 11520 - (1000 - 529)


def test_padding_is_kept_where_the_end_of_the_file_is_missing() -> None:
    assert Info(frames=10, delay=576, padding=1000).end(frames=9, samples=1152) == 9 * 1152


def test_file_without_info_frame_is_not_cut() -> None:
    assert (Info().start, Info().end(frames=10, samples=1152)) == (0, 11520)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FRAME[:-1],
        id3(5) + bytes(5),
        JUNK,
        b"\xff\xfd\x90\x00" * 100,
        b"\xff\xfb\xf0\x00" * 100,
        b"\xff\xfb\x9c\x00" * 500,
        b"\xff\xeb\x90\x00" * 500,
        (FRAME + FRAME_48K) * 10,
    ],
    ids=["empty", "short", "tag only", "junk", "near-frames", "bad rate", "no rate", "no version", "mixed"],
)
def test_data_without_a_chain_of_frames_has_none(data: bytes) -> None:
    assert offsets(data) == []


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_frames_of_any_bytes_are_in_order_and_inside(before: bytes, after: bytes) -> None:
    data = before + FRAME * 3 + after
    at = 0
    for frame in walk(data):
        assert at <= frame.offset < frame.end <= len(data)
        at = frame.end


def test_hostile_file_of_near_frames_takes_2_s_at_most() -> None:
    started = time.process_time()
    assert len(offsets(FRAME * 3 + b"\xff\xfb\x90\x00" * 5_000_000)) < 10
    assert time.process_time() - started < 2


def test_memory_stays_flat_while_a_large_file_is_read() -> None:
    """A mapped file counts as memory of the process for as long as its pages are not released."""
    with TemporaryFile() as file:
        for _ in range(50):
            file.write(FRAME * (1024 * 1024 // len(FRAME)))
        file.write(bytes(50 * 1024 * 1024))
        file.flush()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            assert grown_bytes(data) < 24 * 1024 * 1024


def grown_bytes(data: mmap) -> int:
    """Walk over the data; return by how much the memory of this process grew at most."""
    process, done = psutil.Process(), threading.Event()
    before_bytes = peak_bytes = process.memory_info().rss

    def watch() -> None:
        nonlocal peak_bytes
        while not done.is_set():
            peak_bytes = max(peak_bytes, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    frames: list[Frame] = [frame for frame in walk(data) if frame.part]
    done.set()
    watcher.join()
    assert frames
    return peak_bytes - before_bytes
