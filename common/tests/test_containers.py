"""Kinds of files are recognised by their content."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tests.frames import FRAME, LAYER_2, SLOW, ape, id3, info_frame
from msaas.containers import CONTAINERS, recognise

#: The header of a FLAC with 44.1 kHz.
FLAC = b"fLaC\x80\0\0\x22" + bytes(10) + b"\x0a\xc4\x42" + bytes(21)


def riff(kind: bytes, *chunks: bytes, name: bytes = b"RIFF") -> bytes:
    body = kind + b"".join(chunks)
    return name + struct.pack("<I", len(body)) + body


def fmt(code: int) -> bytes:
    return b"fmt " + struct.pack("<IHHIIHH", 16, code, 2, 44100, 176400, 4, 16)


def ogg(packet: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([1, len(packet)]) + packet


def packet(size_bytes: int) -> bytes:
    """Return a packet of a transport stream."""
    return b"\x47\x01\x00\x10" + bytes(size_bytes - 4)


def adts(size_bytes: int) -> bytes:
    head = bytearray(b"\xff\xf1\x50\x80" + bytes(3))
    head[3:6] = bytes([0x80 | size_bytes >> 11, size_bytes >> 3 & 0xFF, (size_bytes & 7) << 5])
    return bytes(head) + bytes(size_bytes - 7)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (FRAME * 5, "MP3"),
        (LAYER_2 * 5, "MP3"),
        (SLOW * 5, "MP3"),
        (id3(9) + bytes(9) + info_frame(frames=5) + FRAME * 5, "MP3"),
        (bytes(70_000) + FRAME * 5, "MP3"),
        (riff(b"WAVE", fmt(0x55), b"data" + bytes(4), FRAME * 5), "MP3"),
        (riff(b"WAVE", fmt(1)), "WAV"),
        (riff(b"WAVE", fmt(1), name=b"RF64"), "WAV"),
        (riff(b"WAVE", b"JUNK" + struct.pack("<I", 28) + bytes(28), fmt(3)), "WAV"),
        (riff(b"AVI "), "AVI"),
        (b"FORM" + bytes(4) + b"AIFF", "AIFF"),
        (b"FORM" + bytes(4) + b"AIFC", "AIFF"),
        (b".snd" + bytes(20), "AU"),
        (b"caff" + bytes(20), "CAF"),
        (FLAC, "FLAC"),
        (id3(9) + bytes(9) + FLAC, "FLAC"),
        (ogg(b"\x01vorbis" + bytes(20)), "Ogg"),
        (ogg(b"\x7fFLAC" + bytes(20)), "Ogg"),
        (ogg(b"OpusHead" + bytes(20)), "Opus"),
        (bytes(4) + b"ftypM4A " + bytes(20), "MP4"),
        (adts(300) * 3, "AAC"),
        (id3(9) + bytes(9) + adts(300) * 3, "AAC"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(20), "WMA"),
        (b"\x1a\x45\xdf\xa3" + bytes(20), "Matroska"),
        (packet(188) * 5, "MPEG transport stream"),
        (bytes(100) + packet(188) * 5, "MPEG transport stream"),
        (b"rest of a frame" + adts(300) * 3, "AAC"),
        (b"rest of a pack" + (b"\0\0\1\xba\x44" + bytes(2043)) * 2, "MPEG program stream"),
        (b"\0\0\1\xba" + bytes(40), "MPEG program stream"),
    ],
)
def test_kind_follows_from_the_content(data: bytes, name: str) -> None:
    found = recognise(data)
    assert found
    assert found.name == name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello world" * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(5000),
        b"%PDF-1.7" + bytes(5000),
        id3(9) + bytes(9),
        ape(bytes(9)),
        b"OggS",
        ogg(b"unknown codec" + bytes(20)),
        b"fLaC" + bytes(40),
        b"RIFF" + bytes(4),
        adts(300),
    ],
)
def test_other_files_are_unknown(data: bytes) -> None:
    assert recognise(data) is None


def test_stream_recorded_from_the_middle_of_a_frame_is_no_aac() -> None:
    found = recognise(b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(60) + FRAME * 5)
    assert found
    assert found.name == "MP3"


def flac_frame(number: int) -> bytes:
    """Return a frame of 4096 samples, stereo, by RFC 9639, section 9.1."""
    head = bytes([0xFF, 0xF8, 0xC9, 0x18, number])
    return head + bytes([crc8(head)]) + bytes(300)


def crc8(data: bytes) -> int:
    """Divide by x^8 + x^2 + x + 1."""
    rest = int.from_bytes(data) << 8
    for bit in range(rest.bit_length() - 1, 7, -1):
        rest ^= 0x107 << bit - 8 if rest >> bit & 1 else 0
    return rest


#: AC-3 of 192 kbit/s at 48 kHz: 768 bytes. E-AC-3 and DTS of 512 bytes.
AC3 = b"\x0b\x77\0\0\x14\x40" + bytes(762)
AC3_44K = b"\x0b\x77\0\0\x54\x40" + bytes(834 - 6)
E_AC3 = b"\x0b\x77\0\xff\x34\x87" + bytes(506)
DTS = b"\x7f\xfe\x80\x01\xfc\x3c\x1f\xf0" + bytes(504)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (AC3 * 3, "AC-3"),
        (AC3_44K * 3, "AC-3"),
        (E_AC3 * 3, "AC-3"),
        (DTS * 3, "DTS"),
        (adts(300) * 3, "AAC"),
        (packet(188) * 5, "MPEG transport stream"),
        (packet(192) * 5, "MPEG transport stream"),
        (packet(204) * 5, "MPEG transport stream"),
        ((b"\0\0\1\xba\x44" + bytes(2043)) * 2, "MPEG program stream"),
        (ogg(b"\x01vorbis" + bytes(20)).replace(b"OggS\0\0", b"OggS\0\2"), "Ogg"),
        (ogg(b"OpusHead" + bytes(20)).replace(b"OggS\0\0", b"OggS\0\2"), "Opus"),
        (flac_frame(7) + flac_frame(8), "FLAC"),
        (FRAME * 5, "MP3"),
    ],
)
@pytest.mark.parametrize("junk", [b"rest of a frame", bytes(5000), b"\x47\x0b\xff" * 9000])
def test_kind_follows_from_frames_behind_a_damaged_beginning(data: bytes, name: str, junk: bytes) -> None:
    for content in (junk + data, id3(9) + bytes(9) + junk + data):
        found = recognise(content)
        assert found
        assert found.name == name


def test_frames_in_packets_do_not_make_a_song_of_mpeg() -> None:
    """A pack can hold whole frames: the walk alone would find the song, but not all of it."""
    pack = b"\0\0\1\xba\x44" + bytes(100) + FRAME * 4
    found = recognise(b"rest" + pack * 3)
    assert found
    assert found.name == "MPEG program stream"


@pytest.mark.parametrize(
    "data",
    [
        AC3 * 2,
        AC3 * 2 + AC3[:4],
        DTS * 2,
        flac_frame(7),
        flac_frame(7) + flac_frame(9),
        flac_frame(7) + flac_frame(8)[:4],
        flac_frame(7) + flac_frame(8).replace(b"\xc9", b"\xca"),
    ],
)
def test_too_few_frames_behind_other_bytes_are_unknown(data: bytes) -> None:
    assert recognise(b"rest" + data) is None


def test_second_atom_tells_a_file_whose_first_one_is_damaged() -> None:
    first = (28).to_bytes(4) + b"vtyp" + bytes(20)
    found = recognise(first + bytes(4) + b"free" + bytes(40))
    assert found
    assert found.name == "MP4"
    assert recognise(first + bytes(4) + b"xfre" + bytes(40)) is None


@pytest.mark.parametrize("atom", [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"])
def test_first_atom_tells_a_file_of_mp4_or_quicktime(atom: bytes) -> None:
    found = recognise(bytes(4) + atom + bytes(40))
    assert found
    assert found.name == "MP4"


@pytest.mark.parametrize("data", [b"rest of a frame" + adts(300) * 2, packet(188) * 4, b"\x47" * 5000])
def test_fewer_frames_or_packets_are_unknown(data: bytes) -> None:
    assert recognise(data) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_recognised_or_not(data: bytes) -> None:
    for start in (b"", b"RIFF", b"OggS", b"ID3", b"\xff\xf1", b"\xff\xfb"):
        recognise(start + data)


def test_extensions_are_unique() -> None:
    extensions = [row.extension for row in CONTAINERS.values()]
    assert len(set(extensions)) == len(extensions)
