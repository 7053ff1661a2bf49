"""The metrical level of a song: which pulse is the beat, and which beats begin a bar.

The weights were fitted to songs of `training` and to drum patterns. All of them are in four.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_worker.analysis.onsets import FRAME_RATE

Floats = NDArray[np.float64]
BEATS_PER_BAR = 4
#: Of beats, in frames: 210 and 52 beats a minute.
_PERIODS = np.arange(60 * FRAME_RATE / 210, 60 * FRAME_RATE / 52, 0.1)
#: Pulses are peaks of the mean autocorrelation after one, two and four beats.
_MULTIPLES = (1.0, 2.0, 4.0)
_MAX_PULSES = 8
#: Of this mean. Onsets without a pulse have less.
_LEAST_RECURRENCE = 0.08
#: Weights of the autocorrelations of all onsets, of bass drums and of snares after these numbers of beats.
#: A bass drum that recurs after half a beat speaks against the pulse, a snare after two beats for it.
_RECURRENCES = (0.5, 1.0, 2.0, 4.0)
_RECURRENCE_WEIGHTS = np.array(
    [[9.4, 13.9, -1.1, 2.9], [-5.2, -2.1, 1.2, 3.7], [-0.7, -1.9, 3.4, 4.4]],
)
#: Frames of autocorrelation that they need.
LAGS = int(_RECURRENCES[-1] * _PERIODS[-1]) + 2
#: The prior of a tempo is log-normal: weights of its octaves above 110 beats a minute, and of their square.
_CENTRE_BPM = 110.0
_OCTAVE_WEIGHT, _OCTAVE_2_WEIGHT = 4.0, -3.5


@dataclass(frozen=True)
class Pulse:
    """A possible beat: its period in frames, and its probability among all."""

    period: float
    probability: float


def find_pulses(autocorrelations: Floats) -> list[Pulse]:
    """Return the possible beats, the most likely one first, none if the onsets have no pulse.

    `autocorrelations` are `[3, LAGS]`: of all onsets, of bass drums, and of snares.
    """
    recurrence = np.mean([_after(autocorrelations[0], _PERIODS * each) for each in _MULTIPLES], axis=0)
    is_peak = (recurrence[1:-1] >= recurrence[:-2]) & (recurrence[1:-1] > recurrence[2:])
    peaks = sorted(np.flatnonzero(is_peak) + 1, key=lambda peak: -recurrence[peak])[:_MAX_PULSES]
    if not peaks or recurrence[peaks[0]] < _LEAST_RECURRENCE:
        return []
    periods = _PERIODS[peaks]
    chances = softmax(_pulse_scores(autocorrelations, periods))
    return [Pulse(float(periods[each]), float(chances[each])) for each in np.argsort(-chances)]


def _pulse_scores(autocorrelations: Floats, periods: Floats) -> Floats:
    octaves = np.log2(60 * FRAME_RATE / periods / _CENTRE_BPM)
    scores = _OCTAVE_WEIGHT * octaves + _OCTAVE_2_WEIGHT * octaves**2
    for row, weights in zip(autocorrelations, _RECURRENCE_WEIGHTS, strict=True):
        for multiple, weight in zip(_RECURRENCES, weights, strict=True):
            scores = scores + weight * _after(row, periods * multiple)
    return scores


def _after(autocorrelation: Floats, lags: Floats) -> Floats:
    """Return the autocorrelation at fractions of frames."""
    found: Floats = np.interp(lags, np.arange(len(autocorrelation)), autocorrelation)
    return found


def softmax(scores: Floats) -> Floats:
    chances = np.exp(scores - scores.max())
    found: Floats = chances / chances.sum()
    return found


#: Steps of a beat.
STEPS = 4
_BAR_STEPS = BEATS_PER_BAR * STEPS
#: Weights of the strength of a range at steps of a bar: a bass drum on beats 1 and 3, a snare on 2 and 4, and
#: cymbals on each beat rather than between.
_ON_BEATS, _ON_HALVES, _ON_BACKBEATS = range(0, _BAR_STEPS, STEPS), (0, 8), (4, 12)
_RANGE_WEIGHTS: tuple[tuple[tuple[float, "range | tuple[int, ...]"], ...], ...] = (
    ((0.5, _ON_BEATS), (2.2, _ON_HALVES)),
    ((1.0, _ON_BEATS), (1.3, _ON_BACKBEATS)),
    ((1.5, _ON_BEATS),),
)
#: Beats are tracked by the strongest onsets, which are mostly on the beat.
_TRACKED_WEIGHT = 1.0
_HARMONY_WEIGHT = 15.0


@dataclass(frozen=True)
class Position:
    """Where bars begin: `step` of a beat after the tracked beats, and the first beat of a bar.

    The probabilities are those of the step, and of the bar given the step.
    """

    step: int
    downbeat: int
    step_probability: float
    downbeat_probability: float


def find_position(strengths: Floats, changes: Floats) -> Position:
    """Find the beginning of the bars.

    `strengths` are `[steps of a bar, ranges]`, from a tracked beat on. `changes` are how much the harmony
    changes at each of the 16 steps.
    """
    scores = np.array([_score(np.roll(strengths, -step, axis=0)) for step in range(_BAR_STEPS)])
    scores[::STEPS] += _TRACKED_WEIGHT
    chances = softmax(scores + _HARMONY_WEIGHT * changes).reshape(BEATS_PER_BAR, STEPS)
    step = int(chances.sum(axis=0).argmax())
    bars = chances[:, step]
    downbeat = int(bars.argmax())
    return Position(step, downbeat, float(bars.sum()), float(bars[downbeat] / bars.sum()))


def _score(pattern: Floats) -> float:
    """Return how well a bar of onsets begins with its first step."""
    level = np.sqrt(((pattern - pattern.mean(axis=0)) ** 2).sum()) + 1e-9
    return float((pattern / level * _TEMPLATE).sum())


def _template() -> Floats:
    template = np.zeros((_BAR_STEPS, len(_RANGE_WEIGHTS)))
    for column, weights in enumerate(_RANGE_WEIGHTS):
        for weight, steps in weights:
            template[list(steps), column] += weight
    found: Floats = template - template.mean(axis=0)
    return found


_TEMPLATE = _template()
