"""Songs of any length, made from the demo songs."""

import tempfile
from pathlib import Path

import lameenc
import numpy as np
import sphn

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE

_DEMO_SONGS = sorted((Path(__file__).parents[1] / "data").glob("*.mp3"))
_BIT_RATE_KBIT_S = 256
_FULL_SCALE = 2**15 - 1


def write_song(folder: Path, *, seconds: float) -> Path:
    """Write an MP3 that repeats the demo songs. Encoder and decoder add about 50 ms to it."""
    demo = np.concatenate([sphn.read(str(path))[0] for path in _DEMO_SONGS], axis=1)
    frames = np.resize(demo.T, (round(seconds * SAMPLERATE), CHANNELS))
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
    with tempfile.NamedTemporaryFile(suffix=".mp3") as file:
        file.write(mp3)
        file.flush()
        samples, rate = sphn.read(file.name)
    return float(samples.shape[-1] / rate)
