"""Three songs that are unlike the training songs: without soundfonts, speech engines and vocoder."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]
SAMPLE_RATE_HZ = 44_100
SONG_S = 12.0
#: Root mean square of every stem.
LOUDNESS = 0.08
_SAMPLES = int(SONG_S * SAMPLE_RATE_HZ)
#: First two formants of a, e, i, o, u in Hz.
_VOWELS_HZ = ((800, 1150), (400, 2000), (300, 2300), (450, 800), (325, 700))


@cache
def make_song(name: str) -> NDArray[np.float32]:
    """Return the stems of a song of `SONGS`, `[4, 2, samples]`: drums, bass, other, vocals."""
    return _MAKERS[name]()


def make_campfire() -> NDArray[np.float32]:
    """Render plucked strings, brushes, a soft bass and slow singing."""
    rng = np.random.default_rng(41)
    beat_s = 0.6
    strings = sum(
        (
            _pluck(48 + step, at_s=beat_s * i / 2, rng=rng)
            for i, step in enumerate(_repeat((0, 7, 12, 16, 19, 16, 12, 7), 40))
        ),
        np.zeros(_SAMPLES),
    )
    brushes = _hits(lambda: _noise(0.12, rng=rng) * 0.6, every_s=beat_s, offset_s=beat_s)
    kicks = _hits(lambda: _thump(70, 45), every_s=2 * beat_s)
    bass = _line(_soft, pitches=(36, 36, 43, 41), each_s=2 * beat_s)
    return _mix(
        brushes + kicks, bass, strings, _voice((60, 62, 64, 67, 65, 64, 62, 60), each_s=1.2, rest=0.15)
    )


def make_arcade() -> NDArray[np.float32]:
    """Render square waves, a triangle and noise, as in a game console, and a voice."""
    rng = np.random.default_rng(42)
    beat_s = 0.4
    squares = _line(_square, pitches=_repeat((60, 64, 67, 72, 67, 64), 120), each_s=beat_s / 4)
    snares = _hits(lambda: _noise(0.09, rng=rng), every_s=2 * beat_s, offset_s=beat_s)
    ticks = _hits(lambda: 0.4 * _noise(0.02, rng=rng), every_s=beat_s / 2)
    kicks = _hits(lambda: _thump(160, 50), every_s=2 * beat_s)
    bass = _line(_triangle, pitches=(36, 36, 48, 36, 41, 41, 43, 43), each_s=beat_s)
    return _mix(snares + ticks + kicks, bass, squares, _voice((72, 71, 67, 69, 72, 74), each_s=0.8, rest=0.3))


def make_garage() -> NDArray[np.float32]:
    """Render distorted fifths, loud drums, a picked bass and a low, rough voice."""
    rng = np.random.default_rng(43)
    beat_s = 0.45
    chords = sum(
        (_line(_square, pitches=_transpose((45, 48, 43, 41), by), each_s=4 * beat_s) for by in (0, 7, 12)),
        np.zeros(_SAMPLES),
    )
    guitars = np.tanh(4 * chords)
    kicks = _hits(lambda: _thump(130, 55), every_s=2 * beat_s)
    snares = _hits(
        lambda: _noise(0.18, rng=rng) + 0.7 * _thump(260, 180)[: int(0.18 * SAMPLE_RATE_HZ)],
        every_s=2 * beat_s,
        offset_s=beat_s,
    )
    bass = _line(
        _picked,
        pitches=_repeat((33, 33, 33, 33, 36, 36, 36, 36, 31, 31, 31, 31, 29, 29, 29, 29), 32),
        each_s=beat_s,
    )
    rough = np.tanh(3 * _voice((50, 52, 53, 52, 48, 45), each_s=0.9, rest=0.25))
    return _mix(kicks + snares, bass, guitars, rough)


def _mix(drums: Wave, bass: Wave, other: Wave, vocals: Wave) -> NDArray[np.float32]:
    """Mix stems at equal level, with `other` off-centre and a short echo on one channel."""
    level = [stem / (np.sqrt((stem**2).mean()) + 1e-9) * LOUDNESS for stem in (drums, bass, other, vocals)]
    sides = [np.stack([stem, stem]) for stem in level]
    sides[2] = np.stack([1.2 * level[2], 0.7 * np.roll(level[2], 700)])
    return np.stack(sides).astype(np.float32)


def _repeat(pitches: tuple[int, ...], count: int) -> tuple[int, ...]:
    return tuple(pitches[i % len(pitches)] for i in range(count))


def _transpose(pitches: tuple[int, ...], by: int) -> tuple[int, ...]:
    return tuple(pitch + by for pitch in pitches)


def _hz(pitch: int) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def _time(length_s: float) -> Wave:
    return np.arange(int(length_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _hits(sound: Callable[[], Wave], *, every_s: float, offset_s: float = 0.0) -> Wave:
    out = np.zeros(_SAMPLES)
    for start_s in np.arange(offset_s, SONG_S - 0.5, every_s):
        hit, start = sound(), int(start_s * SAMPLE_RATE_HZ)
        out[start : start + hit.size] += hit
    return out


def _line(sound: Callable[[float, float], Wave], *, pitches: tuple[int, ...], each_s: float) -> Wave:
    """Render notes of equal length one after another and repeat them."""
    out, count = np.zeros(_SAMPLES), int(SONG_S / each_s)
    for index, pitch in enumerate(_repeat(pitches, count)):
        note, start = sound(_hz(pitch), each_s * 0.9), int(index * each_s * SAMPLE_RATE_HZ)
        out[start : start + note.size] += note * np.clip(np.arange(note.size)[::-1] / 400, 0, 1)
    return out


def _thump(high_hz: float, low_hz: float) -> Wave:
    time = _time(0.3)
    frequency = low_hz + (high_hz - low_hz) * np.exp(-time / 0.04)
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ) * np.exp(-time / 0.09)


def _noise(length_s: float, *, rng: np.random.Generator) -> Wave:
    time = _time(length_s)
    return np.diff(rng.standard_normal(time.size + 1)) * np.exp(-4 * time / length_s)


def _pluck(pitch: int, *, at_s: float, rng: np.random.Generator) -> Wave:
    """Render a plucked string (Karplus and Strong 1983): noise in a low-passed delay line."""
    period = int(SAMPLE_RATE_HZ / _hz(pitch))
    loop, turns = rng.uniform(-1, 1, period), []
    for _ in range(int(1.5 * SAMPLE_RATE_HZ / period)):
        turns.append(loop)
        loop = 0.498 * (loop + np.roll(loop, 1))
    out, start, note = np.zeros(_SAMPLES), int(at_s * SAMPLE_RATE_HZ), np.concatenate(turns)
    out[start : start + note.size] += note[: max(0, _SAMPLES - start)]
    return out


def _soft(frequency_hz: float, length_s: float) -> Wave:
    time = _time(length_s)
    return (np.sin(2 * np.pi * frequency_hz * time) + 0.3 * np.sin(4 * np.pi * frequency_hz * time)) * np.exp(
        -time
    )


def _picked(frequency_hz: float, length_s: float) -> Wave:
    time = _time(length_s)
    partials = [np.sin(2 * np.pi * n * frequency_hz * time) * np.exp(-n * time) / n for n in range(1, 9)]
    return np.asarray(sum(partials))


def _square(frequency_hz: float, length_s: float) -> Wave:
    return np.sign(np.sin(2 * np.pi * frequency_hz * _time(length_s))) * 0.5


def _triangle(frequency_hz: float, length_s: float) -> Wave:
    return 2 / np.pi * np.arcsin(np.sin(2 * np.pi * frequency_hz * _time(length_s)))


def _voice(pitches: tuple[int, ...], *, each_s: float, rest: float) -> Wave:
    """Render harmonics with two moving formants and vibrato. Each note is a vowel."""
    out = np.zeros(_SAMPLES)
    for index, pitch in enumerate(_repeat(pitches, int(SONG_S / each_s))):
        note, start = (
            _vowel(pitch, index=index, length_s=each_s * (1 - rest)),
            int(index * each_s * SAMPLE_RATE_HZ),
        )
        out[start : start + note.size] += note
    return out


def _vowel(pitch: int, *, index: int, length_s: float) -> Wave:
    time = _time(length_s)
    frequency = _hz(pitch) * (1 + 0.012 * np.sin(2 * np.pi * 5.5 * time) * np.clip(time / 0.3, 0, 1))
    phase, glide = np.cumsum(frequency) / SAMPLE_RATE_HZ, np.clip(time / 0.15, 0, 1)
    before, after = np.array(_VOWELS_HZ[index % 5]), np.array(_VOWELS_HZ[(index + 2) % 5])
    formants = [(1 - glide) * a + glide * b for a, b in zip(before, after, strict=True)] + [
        np.full(time.size, 2700.0)
    ]
    out = np.zeros(time.size)
    for order in range(1, int(6000 / _hz(pitch))):
        weight = sum(1 / (1 + ((order * frequency - centre) / 110) ** 2) for centre in formants) + 0.02
        out += weight / order**0.5 * np.sin(2 * np.pi * order * phase)
    return out * np.clip(time / 0.04, 0, 1) * np.clip(time[::-1] / 0.06, 0, 1)


_MAKERS = {"campfire": make_campfire, "arcade": make_arcade, "garage": make_garage}
SONGS = tuple(_MAKERS)
