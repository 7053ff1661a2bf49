"""Decoding of a WAV stream of 32-bit floats, which `ffmpeg` writes into a pipe: its sizes are unknown."""

import struct
from typing import BinaryIO

import numpy as np

from msaas_worker.audio.decoders import Blocks
from msaas_worker.audio.decoders.layouts import read_wave_layout
from msaas_worker.audio.decoders.sndfile import BLOCK_SAMPLES
from msaas_worker.audio.downmix import downmix

_RIFF, _CHUNK = struct.Struct("<4sI4s"), struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_MAX_CHANNELS = 64
_MAX_CHUNK_BYTES = 64 * 1024
_BITS = 32


def decode_wav(stream: BinaryIO) -> Blocks:
    """Yield the samples of the stream as stereo. Raises `ValueError` if it is empty or of another kind."""
    form = _read_format(stream)
    _, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(form)
    if bits != _BITS or not rate_hz or not 0 < channels <= _MAX_CHANNELS:
        raise ValueError("The output of ffmpeg is not a WAV stream of floats.")
    layout, frame_bytes = read_wave_layout(form, channels=channels), 4 * channels
    while data := stream.read(BLOCK_SAMPLES * frame_bytes):
        whole = data[: len(data) // frame_bytes * frame_bytes]
        block = np.frombuffer(whole, "<f4").reshape(-1, channels).T
        yield rate_hz, downmix(block.astype(np.float32), layout=layout)


def _read_format(stream: BinaryIO) -> bytes:
    """Read up to the first sample, and return the chunk of the format."""
    form, head = b"", stream.read(_RIFF.size)
    if len(head) < _RIFF.size:
        raise ValueError("ffmpeg found no sound in the file.")
    while len(head := stream.read(_CHUNK.size)) == _CHUNK.size:
        name, size = _CHUNK.unpack(head)
        if name == b"data" and len(form) >= _FORMAT.size:
            return form
        if size > _MAX_CHUNK_BYTES:
            break
        chunk = stream.read(size + size % 2)
        form = chunk if name == b"fmt " else form
    raise ValueError("The output of ffmpeg is not a WAV stream of floats.")
