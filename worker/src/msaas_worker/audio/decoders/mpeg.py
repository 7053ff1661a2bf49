"""Decoding of MPEG audio: the walk selects the frames, libsndfile (mpg123) decodes them.

Each part of the song, that is each of several joined files, is copied into a clean file. First in it is an
Info frame with the number of frames, which the decoder guesses from the first bit rate otherwise. Second is a
silent frame, from which the decoder cuts its own delay.
"""

import math
import os
import struct
from collections.abc import Iterator
from mmap import mmap
from typing import BinaryIO

import numpy as np

from msaas.mpeg.headers import HEADER_BYTES, Header, read_header
from msaas.mpeg.info import DECODER_DELAY
from msaas.mpeg.parts import Part
from msaas.mpeg.walk import Frame, walk
from msaas_worker.audio.decoded import CHANNELS, Audio
from msaas_worker.audio.decoders import Blocks, TooLongError
from msaas_worker.audio.decoders.reservoir import Reservoir, without_checksum
from msaas_worker.audio.decoders.sndfile import decode_sndfile

_INFO_FIELDS_BYTES = 12
#: Silent frames behind the last one, where the decoder guesses the length.
_SPARE_FRAMES = 2
_BIT_RATES = range(1, 15)
#: An Info frame cuts at most so many samples: a delay and a padding of 12 bits, and the delay of the decoder.
_MOST_CUT_SAMPLES = 2 * 4095 + DECODER_DELAY


def decode_mpeg(data: bytes | mmap, clean: BinaryIO, *, limit_s: float = math.inf) -> Blocks:
    """Yield the song without the delays and paddings of its encoders. A lost frame is silent.

    `clean` is an empty file for the frames of a part. Raises `TooLongError` before it decodes a part that
    is longer than `limit_s`. The sum of the parts is not compared.
    """
    for part in _parts(data, limit_s=limit_s):
        yield from ((part[0].header.stream.rate_hz, block) for block in _decode_part(data, part, clean))


def _parts(data: bytes | mmap, *, limit_s: float) -> Iterator[list[Frame]]:
    part: list[Frame] = []
    samples = 0
    for frame in walk(data):
        if frame.part and part:
            yield part
            part, samples = [], 0
        part.append(frame)
        stream = frame.header.stream
        samples += (1 + frame.lost) * stream.samples
        if samples > limit_s * stream.rate_hz + _MOST_CUT_SAMPLES:
            raise TooLongError(limit_s)
    if part:
        yield part


def _decode_part(data: bytes | mmap, part: list[Frame], clean: BinaryIO) -> Iterator[Audio]:
    """Yield the samples of the song in this part."""
    length, stream = Part.of(part[0]), part[0].header.stream
    for frame in part:
        length.add(frame)
    lead = _write_clean(clean, data, part, number=length.frames)
    at = -lead
    for block in _decode(clean, samples=lead + length.frames * stream.samples):
        first, last = max(length.start - at, 0), min(length.end - at, block.shape[-1])
        if first < last:
            yield block[:, first:last]
        at += block.shape[-1]


def _decode(clean: BinaryIO, *, samples: int) -> Iterator[Audio]:
    """Yield exactly so many samples, silence where the decoder gives up."""
    for _, block in decode_sndfile(clean):
        yield block[:, :samples]
        samples -= min(samples, block.shape[-1])
    if samples:
        yield np.zeros((CHANNELS, samples), np.float32)


def _write_clean(clean: BinaryIO, data: bytes | mmap, part: list[Frame], *, number: int) -> int:
    """Write the frames of the part, and return the number of samples before the first frame."""
    clean.seek(0)
    clean.truncate()
    first = part[0]
    word = first.repaired or data[first.offset : first.offset + HEADER_BYTES]
    has_info = first.header.stream.layer == 3 and first.header.size_bytes > 0
    silence = _silent_frame(word) if has_info else _silence(word, first.size_bytes)
    if has_info:
        clean.write(_info_frame(word, frames=number + 1))
        clean.write(silence)
    reservoir = Reservoir(data)
    for frame in part:
        clean.write(silence * frame.lost)
        clean.write(reservoir.read(frame))
    if not has_info:
        # The decoder guesses the length from the first frame, and stops there.
        missing = max(0, number - clean.tell() // first.size_bytes)
        clean.write(silence * (missing + _SPARE_FRAMES))
    clean.flush()
    clean.seek(0, os.SEEK_SET)
    return first.header.stream.samples - DECODER_DELAY if has_info else 0


def _silence(word: bytes, size_bytes: int) -> bytes:
    return without_checksum(word).ljust(size_bytes, b"\0")


def _info_frame(word: bytes, *, frames: int) -> bytes:
    word, header = _smallest(word, room_bytes=_INFO_FIELDS_BYTES)
    fields = b"Info" + struct.pack(">II", 1, frames)
    return (word + bytes(header.stream.side_info_bytes) + fields).ljust(header.size_bytes, b"\0")


def _silent_frame(word: bytes) -> bytes:
    word, header = _smallest(word, room_bytes=0)
    return _silence(word, header.size_bytes)


def _smallest(word: bytes, *, room_bytes: int) -> tuple[bytes, Header]:
    """Return the header of the smallest frame that has so much room behind its side information."""
    for bit_rate in _BIT_RATES:
        smaller = without_checksum(bytes([word[0], word[1], bit_rate << 4 | word[2] & 0x0C, word[3]]))
        header = read_header(smaller)
        assert header
        if header.size_bytes >= HEADER_BYTES + header.stream.side_info_bytes + room_bytes:
            return smaller, header
    raise AssertionError("The largest frame of a stream has room.")
