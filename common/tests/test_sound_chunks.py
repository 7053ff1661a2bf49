"""Chunks are found by the sizes of those before them."""

import struct
from itertools import chain

import pytest

from common.tests.frames import id3
from msaas.sound_chunks import find_chunk


def riff(*chunks: tuple[bytes, bytes], name: bytes = b"RIFF") -> bytes:
    order = "<" if name != b"RIFX" else ">"
    parts = [id_ + struct.pack(f"{order}I", len(body)) + body + bytes(len(body) % 2) for id_, body in chunks]
    return name + bytes(4) + b"WAVE" + b"".join(parts)


def form(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [id_ + struct.pack(">I", len(body)) + body + bytes(len(body) % 2) for id_, body in chunks]
    return b"FORM" + bytes(4) + b"AIFC" + b"".join(parts)


def caff(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = chain.from_iterable((id_, struct.pack(">Q", len(body)), body) for id_, body in chunks)
    return b"caff\0\1\0\0" + b"".join(parts)


def wave64(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        id_ + bytes(12) + struct.pack("<Q", 24 + len(body)) + body + bytes(-len(body) % 8)
        for id_, body in chunks
    ]
    return b"riff" + bytes(12) + bytes(8) + b"wave" + bytes(12) + b"".join(parts)


def content(file: bytes, name: bytes) -> bytes | None:
    at = find_chunk(file, name)
    return None if at is None else file[at : at + 4]


@pytest.mark.parametrize(
    "file",
    [
        riff((b"LIST", b"data!"), (b"data", b"PCM!")),
        riff((b"LIST", b"data"), (b"data", b"PCM!"), name=b"RIFX"),
        riff((b"JUNK", b""), (b"data", b"PCM!"), name=b"RF64"),
        form((b"NAME", b"datad"), (b"data", b"PCM!")),
        caff((b"info", b"datax"), (b"data", b"PCM!")),
        wave64((b"list", b"data of"), (b"data", b"PCM!")),
        id3(100) + bytes(100) + riff((b"LIST", b"data!"), (b"data", b"PCM!")),
    ],
    ids=["RIFF", "RIFX", "RF64", "AIFF", "CAF", "Wave64", "tags in front"],
)
def test_name_in_the_content_of_another_chunk_does_not_count(file: bytes) -> None:
    assert content(file, b"data") == b"PCM!"


@pytest.mark.parametrize(
    "file",
    [
        riff((b"LIST", b"text")).replace(b"LIST\x04", b"LIST\x01") + b"data\x04\0\0\0PCM!",
        wave64((b"list", b"a text")).replace(struct.pack("<Q", 30), bytes(8)) + b"data" + bytes(20) + b"PCM!",
    ],
    ids=["too small", "smaller than its header"],
)
def test_first_place_of_the_name_counts_behind_a_wrong_size(file: bytes) -> None:
    assert content(file, b"data") == b"PCM!"


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"RIFF",
        riff(),
        riff((b"fmt ", bytes(16))),
        riff((b"LIST", bytes(8)))[:-1],
        b"OggS" + b"data" * 20,
    ],
    ids=["nothing", "start", "no chunk", "another one", "cut", "another kind"],
)
def test_absent_chunk_has_no_place(file: bytes) -> None:
    assert find_chunk(file, b"data") is None


def test_chunk_behind_the_end_does_not_count() -> None:
    file = riff((b"LIST", bytes(100)), (b"data", b"PCM!"))
    assert find_chunk(file, b"data", end=100) is None
    assert find_chunk(file, b"data", end=len(file)) == len(file) - 4
