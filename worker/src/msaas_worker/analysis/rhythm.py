"""Tempo, beats and bars of a song, from the onsets of its drums and from its harmony."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msaas_worker.analysis.beats import above_mean, autocorrelate, prepare_onsets, track
from msaas_worker.analysis.harmony import CHROMA_HOP_S
from msaas_worker.analysis.meter import (
    BEATS_PER_BAR,
    LAGS,
    STEPS,
    Position,
    Pulse,
    find_position,
    find_pulses,
)
from msaas_worker.analysis.onsets import FRAME_RATE

Floats = NDArray[np.float64]
_LEAST_BEATS = 4 * BEATS_PER_BAR
_LEAST_FRAMES = round(4 * FRAME_RATE)
#: Drums that are softer are the rests of other stems.
_LEAST_STRENGTH = 1e-3
#: Beats over which intervals are averaged.
_SPAN = 16
_ALTERNATIVES = 2
_LEAST_CONFIDENCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """`beats` are in seconds. Bars begin with beat `position.downbeat`, and every fourth one after it."""

    bpm: float
    beats: Floats
    pulses: list[Pulse]
    steadiness: float
    position: Position

    def tempo_json(self) -> dict[str, Any]:
        best, *others = self.pulses
        bpm_of = {pulse: self.bpm * best.period / pulse.period for pulse in self.pulses}
        found = [
            {"bpm": round(bpm_of[each], 2), "confidence": round(each.probability * self.steadiness, 3)}
            for each in (best, *others[:_ALTERNATIVES])
        ]
        likely = [each for each in found[1:] if each["confidence"] >= _LEAST_CONFIDENCE]
        return {**found[0], "alternatives": likely}

    def beats_json(self) -> dict[str, Any]:
        confidence = self.pulses[0].probability * self.steadiness * self.position.step_probability
        bars = {
            "beats_per_bar": BEATS_PER_BAR,
            "first_downbeat": self.position.downbeat,
            "confidence": round(confidence * self.position.downbeat_probability, 3),
        }
        times_s = [round(float(time), 3) for time in self.beats]
        return {"times_s": times_s, "confidence": round(confidence, 3), "bars": bars}


def find_rhythm(strengths: NDArray[np.float32], chroma: NDArray[np.float32]) -> Rhythm | None:
    """Return the rhythm, None without a pulse, or with fewer than 16 beats.

    `strengths` are those of `OnsetMeter`. `chroma` are those of `PitchMeter`, empty if they are unknown.
    """
    if len(strengths) < _LEAST_FRAMES or strengths.max() < _LEAST_STRENGTH:
        return None
    onsets = prepare_onsets(strengths)
    bass_drums, snares = (above_mean(strengths[:, each]) for each in (0, 1))
    found = [autocorrelate(each, lags=LAGS) for each in (onsets, bass_drums, snares)]
    pulses = find_pulses(np.array(found))
    if not pulses:
        return None
    frames = track(onsets, period=pulses[0].period).astype(np.float64)
    if len(frames) < _LEAST_BEATS:
        return None
    grid = frames[:-1, None] + np.diff(frames)[:, None] * np.arange(STEPS) / STEPS
    position = find_position(
        _fold(_strength_at(grid.ravel(), strengths)), _fold(_change_at(grid.ravel(), chroma))
    )
    intervals = (frames[_SPAN - 1 :] - frames[: 1 - _SPAN]) / (_SPAN - 1)
    period = float(np.median(intervals))
    return Rhythm(
        bpm=60 * FRAME_RATE / period,
        beats=grid[:, position.step] / FRAME_RATE,
        pulses=pulses,
        steadiness=_steadiness(frames, onsets, period=period),
        position=position,
    )


def _strength_at(frames: Floats, strengths: NDArray[np.float32]) -> Floats:
    """Return the highest strength `[steps, ranges]` around each step, in deviations of its range."""
    near = np.round(frames).astype(np.int64)[:, None] + np.arange(-1, 3)
    found: Floats = strengths[np.clip(near, 0, len(strengths) - 1)].max(axis=1) / (
        strengths.std(axis=0) + 1e-9
    )
    return found


def _change_at(frames: Floats, chroma: NDArray[np.float32]) -> Floats:
    """Return how much the harmony of the two beats after each step differs from that of the two before."""
    if not len(chroma):
        return np.zeros(len(frames))
    sums = np.concatenate([np.zeros((1, chroma.shape[1])), np.cumsum(chroma, axis=0, dtype=np.float64)])
    span = 2 * STEPS
    edges = np.searchsorted(
        np.arange(len(chroma)) * CHROMA_HOP_S, np.pad(frames, span, mode="edge") / FRAME_RATE
    )
    before = sums[edges[span:-span]] - sums[edges[: -2 * span]]
    after = sums[edges[2 * span :]] - sums[edges[span:-span]]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    found: Floats = np.where(norms > 0, 1 - (before * after).sum(axis=1) / np.maximum(norms, 1e-9), 0.0)
    return found


def _fold(values: Floats) -> Floats:
    """Return the mean of `[steps, …]` at each step of a bar."""
    bar = BEATS_PER_BAR * STEPS
    whole = values[: len(values) // bar * bar]
    found: Floats = whole.reshape(-1, bar, *values.shape[1:]).mean(axis=0)
    return found


def _steadiness(frames: Floats, onsets: Floats, *, period: float) -> float:
    """Return the share of beats that have an onset and follow the last one after a period."""
    near = frames.astype(np.int64)[1:, None] + np.arange(-3, 4)
    has_onset = onsets[np.clip(near, 0, len(onsets) - 1)].max(axis=1) > 1
    is_regular = np.abs(np.diff(frames) / period - 1) < 0.1
    return float((has_onset & is_regular).mean())
