"""Synthesiser: subtractive, FM and additive timbres played by note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note

Wave = NDArray[np.float64]
_RELEASE_S = 0.06
#: Partials above this frequency are left out to prevent aliasing.
_TOP_HZ = 16_000.0
_MOST_PARTIALS = 40


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A synthesiser patch: timbre, amplitude envelope, filter and detune.

    `colour` (0 to 1) is the timbre's own parameter. `sweep` is the depth of the filter envelope.
    """

    timbre: str
    attack_s: float
    decay_s: float
    sustain: float
    cutoff_hz: float
    sweep: float
    detune: float
    colour: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, bass: bool = False) -> Patch:
        """Draw a random patch. Bass patches have a faster attack and a lower cutoff."""
        names = [name for name in TIMBRES if not (bass and name == "bell")]
        return cls(
            timbre=str(rng.choice(names)),
            attack_s=float(rng.choice([0.002, 0.005, 0.02, 0.005 if bass else 0.2])),
            decay_s=float(rng.uniform(0.08, 1.5)),
            sustain=float(rng.choice([0.0, 0.3, 0.8, 1.0])),
            cutoff_hz=float(np.exp(rng.uniform(np.log(250), np.log(2500 if bass else 12000)))),
            sweep=float(rng.choice([0.0, 0.0, 1.0, 3.0])),
            detune=float(rng.uniform(0, 0.012)),
            colour=float(rng.uniform(0, 1)),
        )


def play(notes: Sequence[Note], *, patch: Patch, duration_s: float) -> Audio:
    """Render notes to `[2, samples]`. Both channels are detuned in opposite directions."""
    out = np.zeros((2, round(duration_s * SAMPLE_RATE_HZ)))
    for note in notes:
        sides = [_note(note, patch=patch, detune=sign * patch.detune) for sign in (-0.5, 0.5)]
        start = round(note.start_s * SAMPLE_RATE_HZ)
        room = out.shape[1] - start
        if room > 0:
            out[:, start : start + sides[0].size] += np.stack(sides)[:, :room]
    return out.astype(np.float32)


def _note(note: Note, *, patch: Patch, detune: float) -> Wave:
    time = np.arange(round((note.length_s + _RELEASE_S) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    wave = TIMBRES[patch.timbre](time, note.frequency_hz * (1 + detune), patch.colour)
    return _apply_filter(wave, time=time, patch=patch) * _envelope(time, note=note, patch=patch)


def _envelope(time: Wave, *, note: Note, patch: Patch) -> Wave:
    held = patch.sustain + (1 - patch.sustain) * np.exp(-time / patch.decay_s)
    rise = np.clip(time / patch.attack_s, 0, 1)
    fall = np.clip((note.length_s + _RELEASE_S - time) / _RELEASE_S, 0, 1)
    return np.asarray(held * rise * fall * (note.velocity / 127) ** 1.5)


def _apply_filter(wave: Wave, *, time: Wave, patch: Patch) -> Wave:
    """Low-pass the wave. A filter sweep is a cross-fade from a bright to a dark version."""
    dark = signal.sosfilt(_low_pass(patch.cutoff_hz), wave)
    if patch.sweep == 0:
        return np.asarray(dark)
    bright = signal.sosfilt(_low_pass(min(15_000.0, patch.cutoff_hz * (1 + 2 * patch.sweep))), wave)
    open_ = np.exp(-time / (0.12 * patch.sweep))
    return np.asarray(bright * open_ + dark * (1 - open_))


def _low_pass(cutoff_hz: float) -> Wave:
    return np.asarray(signal.butter(2, cutoff_hz, fs=SAMPLE_RATE_HZ, output="sos"))


def _partials(time: Wave, frequency_hz: float, weights: Callable[[Wave], Wave]) -> Wave:
    """Sum harmonics with the amplitudes that `weights` gives for their order numbers."""
    count = max(1, min(_MOST_PARTIALS, int(_TOP_HZ / frequency_hz)))
    order = np.arange(1, count + 1, dtype=float)
    turn = np.exp(2j * np.pi * frequency_hz * time)
    out, power = np.zeros(time.size, complex), np.ones(time.size, complex)
    for weight in weights(order):
        power = power * turn
        out += weight * power
    return np.asarray(out.imag)


def _saw(time: Wave, frequency_hz: float, colour: float) -> Wave:
    return _partials(time, frequency_hz, lambda order: 0.6 / order ** (0.9 + 0.3 * colour))


def _pulse(time: Wave, frequency_hz: float, colour: float) -> Wave:
    width = 0.08 + 0.42 * colour
    return _partials(time, frequency_hz, lambda order: 0.8 * np.sin(np.pi * order * width) / order)


def _sub(time: Wave, frequency_hz: float, colour: float) -> Wave:
    return np.tanh((1 + 3 * colour) * np.sin(2 * np.pi * frequency_hz * time))


def _fm(time: Wave, frequency_hz: float, colour: float) -> Wave:
    ratio = (0.5, 1.0, 2.0, 3.0)[int(colour * 3.99)]
    index = (1 + 5 * colour) * np.exp(-3 * time)
    phase = 2 * np.pi * frequency_hz * time
    return np.sin(phase + index * np.sin(ratio * phase))


def _bell(time: Wave, frequency_hz: float, colour: float) -> Wave:
    phase = 2 * np.pi * frequency_hz * time
    return np.sin(phase + (1 + 3 * colour) * np.exp(-4 * time) * np.sin(3.53 * phase)) * np.exp(-2 * time)


def _organ(time: Wave, frequency_hz: float, colour: float) -> Wave:
    bars = (1.0, 0.7, 0.5 * colour, 0.6, 0.1, 0.4 * colour, 0.05, 0.3)
    return _partials(time, frequency_hz, lambda order: 0.5 * np.array(bars)[: order.size])


def _pluck(time: Wave, frequency_hz: float, colour: float) -> Wave:
    """A plucked string: high harmonics decay faster than low ones (after Karplus and Strong 1983)."""
    low = _partials(time, frequency_hz, lambda order: np.exp(-order / 3) / order)
    high = _partials(time, frequency_hz, lambda order: np.sin(order * (1 + 2 * colour)) / order)
    return np.asarray(low * np.exp(-1.5 * time) + high * np.exp(-8 * time))


TIMBRES: dict[str, Callable[[Wave, float, float], Wave]] = {
    "saw": _saw,
    "pulse": _pulse,
    "sub": _sub,
    "fm": _fm,
    "bell": _bell,
    "organ": _organ,
    "pluck": _pluck,
}
