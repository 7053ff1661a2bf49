"""Peaks of a stem, to draw its waveform: the lowest and the highest of every 512 samples, in 8 bits."""

import threading

import numpy as np
from numpy.typing import NDArray

from msaas_worker.audio.decoded import CHANNELS, Audio

#: Samples of a pair.
PAIR_SAMPLES = 512
_FULL_SCALE = np.float32(127)


class PeakMeter:
    """Measures a stem while it is encoded. One thread feeds it, others may encode what there is."""

    def __init__(self) -> None:
        self._pairs: list[NDArray[np.float32]] = []
        self._rest = np.empty((0, CHANNELS), np.float32)
        self._lock = threading.Lock()

    def feed(self, frames: Audio) -> None:
        """Add frames `[n, 2]`. Both channels count for a pair."""
        frames = np.concatenate([self._rest, frames]) if len(self._rest) else frames
        whole = len(frames) // PAIR_SAMPLES * PAIR_SAMPLES
        self._rest = frames[whole:].copy()
        self._add(frames[:whole].reshape(-1, PAIR_SAMPLES * CHANNELS))

    def finish(self) -> None:
        """Make a pair of the last frames, which may be fewer."""
        if len(self._rest):
            self._add(self._rest.reshape(1, -1))

    def encode(self, *, divisor: np.float32 = np.float32(1), pairs: int | None = None) -> bytes:
        """Return the first pairs, all by default: low, high, low, high as signed bytes.

        Full scale is 127. Rounding is away from zero, so that no sound becomes silence. The samples are
        divided by `divisor`, and clipped.
        """
        with self._lock:
            found = np.concatenate(self._pairs) if self._pairs else np.empty((0, 2), np.float32)
        scaled = found[:pairs] * (_FULL_SCALE / divisor)
        rounded = np.copysign(np.ceil(np.abs(scaled)), scaled)
        return bytes(np.clip(rounded, -_FULL_SCALE, _FULL_SCALE).astype(np.int8).data)

    def _add(self, rows: Audio) -> None:
        if len(rows):
            pairs = np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)
            with self._lock:
                self._pairs.append(pairs)
