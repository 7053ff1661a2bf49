"""Resampling in blocks by the windowed sinc of J. O. Smith that demucs uses (`julius.resample_frac`).

demucs resamples a whole song with torch. This is the same filter on NumPy. It runs in the decoder process and
its memory does not grow with the song.
"""

import math

import numpy as np

from msaas_worker.audio.decoded import Audio

#: Defaults of `julius.resample_frac`.
_ZERO_CROSSINGS = 24
_ROLLOFF = 0.945


class Resampler:
    """Resamples blocks `[channels, n]` from `source_hz` to `target_hz`. The edges are replicated."""

    def __init__(self, source_hz: int, target_hz: int) -> None:
        divisor = math.gcd(source_hz, target_hz)
        self._old, self._new = source_hz // divisor, target_hz // divisor
        self._kernel, self._width = _kernel(self._old, self._new)
        self._waiting: Audio | None = None
        self._taken = self._given = 0

    def feed(self, block: Audio) -> Audio:
        """Return the samples that are final after this block."""
        if self._old == self._new or not block.shape[-1]:
            return block
        self._taken += block.shape[-1]
        if self._waiting is None:
            block = np.pad(block, ((0, 0), (self._width, 0)), mode="edge")
        else:
            block = np.concatenate([self._waiting, block], axis=-1)
        return self._filter(block)

    def flush(self) -> Audio | None:
        """Return the last samples of the song, None if there are none."""
        if self._waiting is None:
            return None
        owed = self._taken * self._new // self._old - self._given
        rest = np.pad(self._waiting, ((0, 0), (0, self._width + self._old)), mode="edge")
        return self._filter(rest)[:, :owed]

    def _filter(self, block: Audio) -> Audio:
        taps = self._kernel.shape[0]
        steps = max(0, (block.shape[-1] - taps) // self._old + 1)
        self._waiting = block[:, steps * self._old :].copy()
        self._given += steps * self._new
        if not steps:
            return block[:, :0]
        windows = np.lib.stride_tricks.sliding_window_view(block, taps, axis=-1)[:, :: self._old]
        return (windows @ self._kernel).reshape(block.shape[0], -1)


def _kernel(old: int, new: int) -> tuple[Audio, int]:
    """Return the taps of the `new` phases as columns, and their number of samples to the left."""
    rate = min(old, new) * _ROLLOFF
    width = math.ceil(_ZERO_CROSSINGS * old / rate)
    at = np.arange(-width, width + old)[:, None] / old - np.arange(new)[None, :] / new
    at = np.clip(at * rate, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    taps = np.sinc(at) * np.cos(at * math.pi / _ZERO_CROSSINGS / 2) ** 2
    return (taps / taps.sum(axis=0)).astype(np.float32), width
