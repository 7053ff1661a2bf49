"""Songs of any length, made from the demo songs."""

import io
from pathlib import Path

import lameenc
import numpy as np
import soundfile

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE

_DEMO_SONGS = sorted((Path(__file__).parents[1] / "data").glob("*.mp3"))
_BIT_RATE_KBIT_S = 256
_FULL_SCALE = 2**15 - 1


def write_song(folder: Path, *, seconds: float) -> Path:
    """Write an MP3 that repeats the demo songs.

    It has no Info frame: demucs and the worker decode it with the delay of the encoder, about 50 ms.
    """
    demo = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in _DEMO_SONGS])
    frames = np.resize(demo, (round(seconds * SAMPLERATE), CHANNELS))
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(_BIT_RATE_KBIT_S)
    encoder.set_in_sample_rate(SAMPLERATE)
    encoder.set_channels(CHANNELS)
    encoder.silence()
    pcm = (np.clip(frames, -1, 1) * _FULL_SCALE).astype("<i2").tobytes()
    path = folder / f"song-{seconds:g}.mp3"
    path.write_bytes(encoder.encode(pcm) + encoder.flush())
    return path


def seconds_of(mp3: bytes) -> float:
    return float(soundfile.info(io.BytesIO(mp3)).duration)
