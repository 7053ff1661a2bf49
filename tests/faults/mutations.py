"""Over 200 damaged or forged MP3s, made from one song by a fixed seed.

python -m tests.faults.mutations FOLDER      # writes them all
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults.songs import song

_SECONDS = 2.0
#: MPEG-2.5, layer III, 8 kbit/s at 8 kHz, mono: 72 bytes, 72 ms.
_SLOW_FRAME = b"\xff\xe3\x18\xc4" + bytes(68)
_SLOW_FRAME_S = 0.072


def mutations() -> Iterator[tuple[str, bytes]]:
    """Yield a name and the bytes."""
    whole, chance = song(seconds=_SECONDS), random.Random(20_26)
    yield "whole", whole
    for makers in (_truncated, _flipped, _spliced, _forged_xing, _forged_id3, _renamed, _noise):
        yield from makers(whole, chance)
    yield "8 h at 8 kbit/s", _SLOW_FRAME * int(8 * 3600 / _SLOW_FRAME_S)


def _truncated(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for size in (0, 1, 3, 4, 10, 33, 100, 417, 418, *(chance.randrange(len(whole)) for _ in range(31))):
        yield f"cut after {size}", whole[:size]
        yield f"cut before {size}", whole[size:]


def _flipped(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for number in range(50):
        damaged = bytearray(whole)
        for _ in range(2 ** (number % 12)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        yield f"flipped {number}", bytes(damaged)


def _spliced(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for number in range(20):
        a, b, c = sorted(chance.randrange(len(whole)) for _ in range(3))
        yield f"spliced {number}", whole[:a] + whole[b:c] * (1 + number % 5) + whole[a:]


def _forged_xing(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """A header frame that promises too many frames and bytes, and padding."""
    for name in (b"Xing", b"Info"):
        for frames in (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1):
            header = bytearray(whole[:417])
            fields = name + b"\x00\x00\x00\x0f" + frames.to_bytes(4, "big") * 2
            header[36 : 36 + len(fields)] = fields
            yield f"{name.decode()} of {frames} frames", bytes(header) + whole
            yield f"{name.decode()} of {frames} frames alone", bytes(header)


def _forged_id3(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for version in (2, 3, 4):
        for size in (b"\x00\x00\x00\x00", b"\x7f\x7f\x7f\x7f", b"\xff\xff\xff\xff", b"\x00\x00\x02\x01"):
            tag = b"ID3" + bytes([version, 0, chance.randrange(256)]) + size
            yield f"ID3v2.{version} of {size.hex()}", tag + whole
            yield f"ID3v2.{version} of {size.hex()}, 33 bytes", (tag + b"\x04" * 33)[:33]


def _renamed(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Other containers that call themselves MP3."""
    heads = {
        "WAV": b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\xff\xff\x44\xac\x00\x00",
        "FLAC": b"fLaC\x00\x00\x00\x22\x10\x00\x10\x00",
        "Ogg": b"OggS\x00\x02" + bytes(20) + b"\x01\x1e\x01vorbis",
        "MP4": b"\x00\x00\x00\x20ftypM4A \xff\xff\xff\xff",
        "AIFF": b"FORM\xff\xff\xff\xffAIFFCOMM",
        "Matroska": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
        "CAF": b"caff\x00\x01\x00\x00desc\xff\xff\xff\xff\xff\xff\xff\xff",
        "ZIP": b"PK\x03\x04",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "ELF": b"\x7fELF\x02\x01\x01",
    }
    for name, head in heads.items():
        yield f"{name} and noise", head + chance.randbytes(4096)
        yield f"{name} and a song", head + whole


def _noise(whole: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for number in range(10):
        yield f"noise {number}", chance.randbytes(2**number * 64)
        yield (
            f"frames of noise {number}",
            b"".join(
                bytes([0xFF, chance.choice([0xFB, 0xFA, 0xF3, 0xE3, 0xFF])]) + chance.randbytes(415)
                for _ in range(50)
            ),
        )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for index, (_, mp3) in enumerate(mutations()):
        (folder / f"{index:03}.mp3").write_bytes(mp3)
