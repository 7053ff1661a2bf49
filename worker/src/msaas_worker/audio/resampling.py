"""Resampling in blocks with soxr: memory does not grow with the song."""

from collections.abc import Iterator

import numpy as np
import soxr

from msaas_worker.audio.decoded import Audio

_QUALITY = "VHQ"


class Resampler:
    """Resamples blocks `[channels, n]`. The result has the length of the input, rounded, at the new rate."""

    def __init__(self, source_hz: int, target_hz: int, *, channels: int) -> None:
        self._source_hz, self._target_hz = source_hz, target_hz
        self._taken = self._given = 0
        self._stream: soxr.ResampleStream | None = None
        if source_hz != target_hz:
            self._stream = soxr.ResampleStream(
                source_hz, target_hz, channels, dtype="float32", quality=_QUALITY
            )
        self._channels = channels

    def feed(self, block: Audio) -> Audio:
        """Return the samples that are final after this block."""
        self._taken += block.shape[-1]
        return self._give(self._resample(block, is_last=False)) if self._stream else block

    def flush(self) -> Audio:
        """Return the last samples."""
        rest = np.empty((self._channels, 0), np.float32)
        if not self._stream:
            return rest
        rest = self._resample(rest, is_last=True)
        owed = rescale(self._taken, self._source_hz, self._target_hz) - self._given
        return np.pad(rest[:, :owed], ((0, 0), (0, max(0, owed - rest.shape[-1]))))

    def _resample(self, block: Audio, *, is_last: bool) -> Audio:
        assert self._stream
        frames = np.ascontiguousarray(block.T, np.float32)
        resampled: Audio = self._stream.resample_chunk(frames, last=is_last)
        return resampled.reshape(-1, self._channels).T

    def _give(self, block: Audio) -> Audio:
        self._given += block.shape[-1]
        return block


def rescale(samples: int, source_hz: int, target_hz: int) -> int:
    """Return the number of samples at another rate, rounded to the nearest."""
    return (2 * samples * target_hz + source_hz) // (2 * source_hz)


def resample(blocks: Iterator[tuple[int, Audio]], *, target_hz: int) -> Iterator[Audio]:
    """Yield the blocks, whose rate may change, at `target_hz`. All have the same number of channels."""
    resampler, rate_hz = None, 0
    for block_hz, block in blocks:
        if resampler is None or block_hz != rate_hz:
            if resampler:
                yield resampler.flush()
            resampler, rate_hz = Resampler(block_hz, target_hz, channels=block.shape[0]), block_hz
        yield resampler.feed(block)
    if resampler:
        yield resampler.flush()
