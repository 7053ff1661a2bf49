"""Beat tracking: a tempo by autocorrelation, then the sequence of beats that fits the onsets best.

The tracker is the one of Ellis, "Beat Tracking by Dynamic Programming", Journal of New Music Research 36
(2007).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from msaas_worker.analysis.onsets import FRAME_RATE

Floats = NDArray[np.float64]
#: Of the penalty for an interval that differs from the period.
_TIGHTNESS = 100.0
#: Windows of the autocorrelation, in frames: the tempo may drift over the song.
_WINDOW = round(16 * FRAME_RATE)
_LOCAL_MEAN = round(FRAME_RATE)


def prepare_onsets(strengths: NDArray[np.float32]) -> Floats:
    """Return one strength for each frame: all ranges at one level, above their mean of a second."""
    level = strengths.std(axis=0) + 1e-9
    return above_mean((strengths / level).sum(axis=1, dtype=np.float64))


def above_mean(strengths: NDArray[np.floating]) -> Floats:
    """Return how far strengths `[frames]` exceed their mean of a second, with a deviation of 1."""
    local = np.convolve(strengths, np.full(_LOCAL_MEAN, 1 / _LOCAL_MEAN), "same")
    onsets = np.maximum(strengths - local[: len(strengths)], 0)
    found: Floats = onsets / (onsets.std() + 1e-9)
    return found


def autocorrelate(onsets: Floats, *, lags: int) -> Floats:
    """Return the autocorrelation `[lags]`, averaged over windows, 1 at lag 0."""
    padded = np.pad(onsets, (0, max(0, _WINDOW - len(onsets))))
    windows = sliding_window_view(padded, _WINDOW)[:: _WINDOW // 2]
    windows = windows - windows.mean(axis=1, keepdims=True)
    total = np.zeros(lags)
    for window in windows:
        power = np.abs(np.fft.rfft(window, 2 * _WINDOW)) ** 2
        total += np.fft.irfft(power)[:lags] / (1 - np.arange(lags) / _WINDOW)
    found: Floats = total / (total[0] + 1e-9)
    return found


def track(onsets: Floats, *, period: float) -> NDArray[np.int64]:
    """Return the frames of the beats, about `period` frames apart.

    Frames within half a period do not depend on each other, so they are computed at once.
    """
    first, last = max(1, round(period / 2)), round(2 * period)
    cost = _TIGHTNESS * np.log(np.arange(last, first - 1, -1) / period) ** 2
    scores, before = np.zeros(len(onsets) + last), np.full(len(onsets), -1)
    for start in range(0, len(onsets), first):
        stop = min(start + first, len(onsets))
        # Scores begin with `last` zeros: frame `i` is at `i + last`.
        window = scores[start : stop - first + last]
        choices = sliding_window_view(window, last - first + 1) - cost
        best = choices.argmax(axis=1)
        frames = np.arange(start, stop)
        gain = choices[np.arange(len(frames)), best]
        before[frames] = np.where(gain > 0, frames - last + best, -1)
        scores[frames + last] = onsets[frames] + np.maximum(gain, 0)
    return _trace(scores[last:], before, period=period)


def _trace(scores: Floats, before: NDArray[np.int64], *, period: float) -> NDArray[np.int64]:
    """Follow the best predecessors from the best frame of the last period."""
    start = max(0, len(scores) - round(period))
    frame, beats = start + int(scores[start:].argmax()), []
    while frame >= 0:
        beats.append(frame)
        frame = int(before[frame])
    return np.array(beats[::-1], np.int64)
