"""Decoding of a stream of 32-bit float samples with an AU header, which `ffmpeg` writes into a pipe."""

import struct
from typing import BinaryIO

import numpy as np

from msaas_worker.audio.decoders import Blocks
from msaas_worker.audio.decoders.sndfile import BLOCK_SAMPLES

_HEADER = struct.Struct(">4sIIIII")
_FLOAT = 6
_MAX_CHANNELS = 64


def decode_au(stream: BinaryIO) -> Blocks:
    """Yield the samples of the stream. Raises `ValueError` if it is empty or of another kind."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise ValueError("ffmpeg found no sound in the file.")
    magic, offset, _, encoding, rate_hz, channels = _HEADER.unpack(head)
    if (magic, encoding) != (b".snd", _FLOAT) or not rate_hz or not 0 < channels <= _MAX_CHANNELS:
        raise ValueError("The output of ffmpeg is not an AU stream of floats.")
    stream.read(offset - _HEADER.size)
    frame_bytes = 4 * channels
    while data := stream.read(BLOCK_SAMPLES * frame_bytes):
        whole = data[: len(data) // frame_bytes * frame_bytes]
        yield rate_hz, np.frombuffer(whole, ">f4").reshape(-1, channels).T.astype(np.float32)
