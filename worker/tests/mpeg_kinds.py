"""MPEG audio files as encoders, taggers, editors and broken disks leave them, made from songs of LAME."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from worker.tests.input_kinds import source
from worker.tests.references import require, run

from msaas.mpeg.headers import HEADER_BYTES, read_header

SECONDS = 4.0
_SECTOR_BYTES = 4096


@dataclass(frozen=True)
class MpegFile:
    """`clean` are files whose decoded songs, one behind the other, are the right result.

    Without them the right result is that of a reference decoder. `share` of the blocks are right.
    """

    content: bytes
    clean: tuple[bytes, ...] = ()
    share: float = 1.0


def lame(*options: str, rate_hz: int = 44_100, channels: int = 2, seed: int = 0) -> bytes:
    """Return the MP3 that the command `lame` writes with these options, with an Info frame unless `-t`."""
    require("lame")
    with TemporaryDirectory() as folder:
        song = source(Path(folder), seconds=SECONDS, channels=channels, rate_hz=rate_hz, seed=seed)
        run("lame", "--quiet", *options, song, f"{folder}/song.mp3")
        return Path(folder, "song.mp3").read_bytes()


def layer_2(rate_hz: int = 44_100) -> bytes:
    require("ffmpeg")
    with TemporaryDirectory() as folder:
        song = source(Path(folder), seconds=SECONDS, rate_hz=rate_hz)
        return run("ffmpeg", "-v", "error", "-i", song, "-f", "mp2", "-")


def layer_1(number: int = 400) -> bytes:
    """Return frames of layer I at 192 kbit/s and 44.1 kHz, with noise in the lowest eight subbands."""
    random = Random(1)
    return b"".join(_layer_1_frame(random) for _ in range(number))


def _layer_1_frame(random: Random) -> bytes:
    """Return header, allocations, scale factors and 12 samples of 5 bits in each subband and channel."""
    bits = "".join(f"{4 if band < 8 else 0:04b}" * 2 for band in range(32))
    bits += "".join(f"{random.randrange(20, 40):06b}" for _ in range(16))
    bits += "".join(f"{random.randrange(31):05b}" for _ in range(12 * 16))
    return b"\xff\xff\x60\x00" + int(bits, 2).to_bytes(len(bits) // 8).ljust(204, b"\0")


@cache
def song() -> bytes:
    return lame("-b", "128")


@cache
def bare() -> tuple[bytes, ...]:
    """Return the frames of a song without Info frame."""
    return split(lame("-b", "128", "-t"))


@cache
def variable() -> tuple[bytes, ...]:
    return split(lame("-V", "2", "-t"))


def split(mp3: bytes) -> tuple[bytes, ...]:
    frames, at = [], 0
    while header := read_header(mp3[at : at + HEADER_BYTES]):
        frames.append(mp3[at : at + header.size_bytes])
        at += header.size_bytes
    return tuple(frames)


def join(*frames: bytes) -> bytes:
    return b"".join(frames)


def id3(size: int = 3000) -> bytes:
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + digits + b"TIT2\0\0\0\5\0\0\0song" + bytes(size - 15)


def ape(*, size: int = 2000, has_header: bool = True) -> bytes:
    body = Random(7).randbytes(size)
    head = b"APETAGEX" + struct.pack("<IIII", 2000, len(body) + 32, 1, 0xA000_0000) + bytes(8)
    tail = b"APETAGEX" + struct.pack("<IIII", 2000, len(body) + 32, 1, 0x8000_0000) + bytes(8)
    return (head if has_header else b"") + body + tail


def lyrics3() -> bytes:
    body = b"LYRICSBEGININD0000200LYR00011la la la la"
    return body + f"{len(body):06}LYRICS200".encode() + b"TAG" + bytes(125)


def riff(mp3: bytes) -> bytes:
    """Return a WAV file whose samples are an MP3."""
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 2, 44_100, 16_000, 1, 0, 12, 1, 2, 417, 1, 1393)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(mp3)) + mp3
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def vbri() -> bytes:
    """Return a song of variable bit rate with the Info frame of Fraunhofer."""
    frames = variable()
    fields = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 1105, 75, len(join(*frames)), len(frames), 0, 1, 2, 1)
    return (b"\xff\xfb\x90\x00" + bytes(32) + fields).ljust(417, b"\0") + join(*frames)


def with_info(*, frames: int | None = None, delay: int | None = None, padding: int | None = None) -> bytes:
    """Return the song with other facts in its Info frame."""
    content = bytearray(song())
    at = content.index(b"Info")
    if frames is not None:
        content[at + 8 : at + 12] = frames.to_bytes(4)
    if delay is not None and padding is not None:
        content[at + 141 : at + 144] = (delay << 12 | padding).to_bytes(3)
    return bytes(content)


def damage(frames: tuple[bytes, ...], first: int, number: int, *, seed: int = 0) -> bytes:
    """Return the frames, some of them overwritten with random bytes that begin no frame."""
    random = Random(seed)
    lost = [random.randbytes(len(frame)).replace(b"\xff", b"\0") for frame in frames[first : first + number]]
    return join(*frames[:first], *lost, *frames[first + number :])


def zero_sector(mp3: bytes) -> bytes:
    at = len(mp3) // 2 // _SECTOR_BYTES * _SECTOR_BYTES
    return mp3[:at] + bytes(_SECTOR_BYTES) + mp3[at + _SECTOR_BYTES :]


def insert(mp3: bytes, at: int = 30_000) -> bytes:
    return mp3[:at] + Random(5).randbytes(300).replace(b"\xff", b"") + mp3[at:]


def without_fields(*options: str) -> bytes:
    """Return a song with an empty Info or Xing frame."""
    first, *others = split(lame(*options))
    at = max(first.find(b"Info"), first.find(b"Xing")) + 4
    return join(first[:at].ljust(len(first), b"\0"), *others)


def behind_info(*options: str) -> bytes:
    return join(*split(lame(*options))[1:])


def lame_of_frames(number: int) -> bytes:
    """Return a song of so many frames, with an Info frame that tells them."""
    content = bytearray(join(*split(song())[: number + 1]))
    at = content.index(b"Info")
    content[at + 8 : at + 12] = number.to_bytes(4)
    content[at + 12 : at + 16] = len(content).to_bytes(4)
    return bytes(content)


def _damaged(
    content: Callable[[], bytes], clean: Callable[[], bytes], *, share: float
) -> Callable[[], MpegFile]:
    return lambda: MpegFile(content(), (clean(),), share)


def _joined(*parts: Callable[[], bytes], between: bytes = b"") -> Callable[[], MpegFile]:
    return lambda: MpegFile(between.join(part() for part in parts), tuple(part() for part in parts))


def _same(content: Callable[[], bytes], clean: Callable[[], bytes]) -> Callable[[], MpegFile]:
    return lambda: MpegFile(content(), (clean(),))


def _plain(content: Callable[[], bytes]) -> Callable[[], MpegFile]:
    return lambda: MpegFile(content())


def _plain_frames() -> bytes:
    return join(*bare())


def _variable_frames() -> bytes:
    return join(*variable())


#: Files that encoders write. The reference decoders agree about them.
ENCODED: dict[str, Callable[[], MpegFile]] = {
    "constant bit rate": _plain(song),
    "constant bit rate, 320 kbit/s": _plain(lambda: lame("-b", "320")),
    "variable bit rate": _plain(lambda: lame("-V", "2")),
    "average bit rate": _plain(lambda: lame("--abr", "150")),
    "without Info frame": _plain(_plain_frames),
    "variable, without Info frame": _plain(_variable_frames),
    "VBRI": _same(vbri, _variable_frames),
    "mono": _plain(lambda: lame("-m", "m", "-b", "64", channels=1)),
    "simple stereo": _plain(lambda: lame("-m", "s")),
    "dual channel": _plain(lambda: lame("-m", "d")),
    "checksums": _plain(lambda: lame("-p", "-b", "128")),
    "48 kHz": _plain(lambda: lame(rate_hz=48_000)),
    "32 kHz": _plain(lambda: lame(rate_hz=32_000)),
    "MPEG-2, 24 kHz": _plain(lambda: lame(rate_hz=24_000)),
    "MPEG-2, 22.05 kHz mono": _plain(lambda: lame("-m", "m", rate_hz=22_050, channels=1)),
    "MPEG-2, 16 kHz": _plain(lambda: lame(rate_hz=16_000)),
    "MPEG-2.5, 12 kHz": _plain(lambda: lame(rate_hz=12_000)),
    "MPEG-2.5, 11.025 kHz": _plain(lambda: lame(rate_hz=11_025)),
    "MPEG-2.5, 8 kHz mono": _plain(lambda: lame("-m", "m", rate_hz=8_000, channels=1)),
    "layer II": _plain(layer_2),
    "layer II, MPEG-2": _plain(lambda: layer_2(22_050)),
    "layer I": _plain(layer_1),
}
#: Free format: ffmpeg does not play it.
#: Files of less than 17 frames: the decoder of demucs found no length in them.
SHORT: dict[str, Callable[[], MpegFile]] = {
    "three frames": _plain(lambda: join(*bare()[:3])),
    "16 frames of a variable bit rate": _plain(lambda: join(*variable()[:16])),
    "ten frames with Info frame": _plain(lambda: lame_of_frames(10)),
    "ten frames, MPEG-2 mono": _plain(
        lambda: join(*split(lame("-m", "m", "-b", "32", "-t", rate_hz=22_050, channels=1))[:10])
    ),
}
#: Loud songs decode above full scale.
LOUD: dict[str, Callable[[], MpegFile]] = {
    "hot master": _plain(lambda: lame("-b", "128", "--scale", "4")),
    "hot master, variable bit rate": _plain(lambda: lame("-V", "4", "--scale", "6")),
    "hot master, mono": _plain(lambda: lame("-m", "m", "-b", "64", "--scale", "5", channels=1)),
}
FREE_FORMAT: dict[str, Callable[[], MpegFile]] = {
    "free format, 200 kbit/s": _plain(lambda: lame("--freeformat", "-b", "200")),
    "free format, 560 kbit/s": _plain(lambda: lame("--freeformat", "-b", "560")),
    "free format, 22.05 kHz": _plain(lambda: lame("--freeformat", "-b", "88", rate_hz=22_050)),
}
TAGGED: dict[str, Callable[[], MpegFile]] = {
    "ID3v2 in front": _same(lambda: id3() + song(), song),
    "two ID3v2 in front": _same(lambda: id3() + id3(500) + song(), song),
    "ID3v2 at the end": _same(lambda: song() + id3(), song),
    "APEv2 in front": _same(lambda: ape() + song(), song),
    "APEv2 at the end": _same(lambda: song() + ape(size=90_000), song),
    "APEv2 without header, ID3v1": _same(lambda: song() + ape(has_header=False) + b"TAG" + bytes(125), song),
    "Lyrics3 at the end": _same(lambda: song() + lyrics3(), song),
    "WAV around it": _same(lambda: riff(song()), song),
    "zeros behind ID3v2": _same(lambda: id3() + bytes(90_000) + song(), song),
    "random bytes in front": _same(lambda: Random(3).randbytes(30_000) + song(), song),
    "random bytes behind": _same(lambda: song() + Random(4).randbytes(100_000), song),
    "ID3v2 with a frame beyond it": _same(
        lambda: b"ID3\3\0\0\0\0\0\x14TIT2\0\0\x13\x88\0\0" + bytes(10) + song(), song
    ),
    "ID3v2.2 with all flags": _same(lambda: b"ID3\2\0\xef\0\0\0\x14" + b"\xfe" * 20 + song(), song),
    "ID3v2 without frames": _same(lambda: b"ID3\4\0\0\0\0\0\0" + song(), song),
    "rest of a frame in front": _same(lambda: bare()[40][150:] + _plain_frames(), _plain_frames),
}
JOINED: dict[str, Callable[[], MpegFile]] = {
    "two songs": _joined(song, lambda: lame("-b", "192", seed=2)),
    "two songs, ID3v2 between": _joined(song, lambda: lame("-b", "192", seed=2), between=id3()),
    "two songs without tags": _joined(
        lambda: join(*bare()[:100]), lambda: join(*split(lame("-b", "128", "-t", "--nores", seed=2)))
    ),
    "stereo and mono": _joined(song, lambda: lame("-m", "m", channels=1, seed=2)),
    "mono and stereo": _joined(lambda: lame("-m", "m", channels=1, seed=2), song),
    "44.1 and 48 kHz": _joined(song, lambda: lame(rate_hz=48_000, seed=2)),
    "MPEG-2 and MPEG-1": _joined(lambda: lame(rate_hz=22_050, seed=2), song),
    "layers III and II": _joined(song, layer_2),
}
INFO: dict[str, Callable[[], MpegFile]] = {
    "Info frame tells 7 frames": _plain(lambda: with_info(frames=7)),
    "Info frame tells too many frames": _plain(lambda: with_info(frames=1_000_000)),
    "largest delay and padding": _plain(lambda: with_info(delay=4095, padding=4095)),
    "no delay, no padding": _plain(lambda: with_info(delay=0, padding=0)),
    "Info frame without fields": _same(lambda: without_fields("-b", "128"), lambda: behind_info("-b", "128")),
    "Xing frame without fields": _same(lambda: without_fields("-V", "2"), lambda: behind_info("-V", "2")),
    "cut in the Info frame": _same(lambda: song()[200:], lambda: song()[417:]),
}
DAMAGED: dict[str, Callable[[], MpegFile]] = {
    "one frame lost": _damaged(lambda: damage(bare(), 60, 1), _plain_frames, share=0.96),
    "two frames lost": _damaged(lambda: damage(bare(), 60, 2), _plain_frames, share=0.95),
    "three frames lost": _damaged(lambda: damage(bare(), 60, 3), _plain_frames, share=0.94),
    "frame lost in a variable bit rate": _damaged(
        lambda: damage(variable(), 60, 1), _variable_frames, share=0.95
    ),
    "sector of zeros": _damaged(lambda: zero_sector(_plain_frames()), _plain_frames, share=0.88),
    # Frames that need deleted bytes are noise in one decoder and silence in another.
    "ten frames deleted": lambda: MpegFile(join(*bare()[:60], *bare()[70:]), share=0.98),
    "first frames deleted": lambda: MpegFile(join(*bare()[5:]), share=0.98),
    "cut in a frame": _same(lambda: _plain_frames()[:40_000], lambda: join(*bare()[: 40_000 // 418])),
    "bytes inserted in a frame": _damaged(lambda: insert(_plain_frames()), _plain_frames, share=0.95),
}
MPEG_FILES = {**ENCODED, **SHORT, **LOUD, **FREE_FORMAT, **TAGGED, **JOINED, **INFO, **DAMAGED}
