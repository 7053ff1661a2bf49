"""Songs made on the spot: tones and noise, encoded by LAME."""

from functools import cache
from pathlib import Path

import lameenc
import numpy as np

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio, DecodedSong


def noise(samples: int, *, channels: int = CHANNELS, seed: int = 0, gain: float = 0.2) -> Audio:
    """A tone a channel and noise: `[channels, samples]`."""
    time = np.arange(samples) / SAMPLERATE
    tones = np.stack([np.sin(2 * np.pi * (220 + 110 * channel) * time) for channel in range(channels)])
    hiss = np.random.default_rng(seed).standard_normal((channels, samples))
    return (gain * (tones + 0.3 * hiss)).astype(np.float32)


def mp3(audio: Audio, *, samplerate: int = SAMPLERATE, bit_rate: int = 128, quality: int = 7) -> bytes:
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(bit_rate)
    encoder.set_in_sample_rate(samplerate)
    encoder.set_channels(audio.shape[0])
    encoder.set_quality(quality)
    encoder.silence()
    pcm = (np.clip(audio, -1, 1) * 32767).astype("<i2").T.tobytes()
    return bytes(encoder.encode(pcm) + encoder.flush())


@cache
def song_mp3(seconds: float, *, seed: int = 0) -> bytes:
    return mp3(noise(int(seconds * SAMPLERATE), seed=seed))


def decoded(audio: Audio, path: Path) -> DecodedSong:
    """The song as the decoder leaves it."""
    path.write_bytes(np.ascontiguousarray(audio.T, np.float32).tobytes())
    mono = audio.mean(axis=0).astype(np.float64)
    std = float(mono.std(ddof=1)) if len(mono) > 1 else 0.0
    return DecodedSong(path, audio.shape[-1], float(mono.mean()), std)
