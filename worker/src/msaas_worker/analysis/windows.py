"""Windows over a stream of samples: memory does not grow with the song."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray


class Windows:
    """Cuts a stream into windows of `size` samples, one every `hop` samples.

    The stream begins with `before` zeros: with half a window the first one is centred on the first sample.
    """

    def __init__(self, *, size: int, hop: int, before: int = 0, dtype: DTypeLike = np.float32) -> None:
        self._size, self._hop = size, hop
        self._rest: NDArray[Any] = np.zeros(before, dtype)

    def feed(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Return the windows `[windows, size]` that `samples` complete. They are a view of the stream."""
        stream = np.concatenate([self._rest, samples])
        count = max(0, (len(stream) - self._size) // self._hop + 1)
        self._rest = stream[count * self._hop :].copy()
        if not count:
            return np.empty((0, self._size), stream.dtype)
        return sliding_window_view(stream, self._size)[: count * self._hop : self._hop]

    def flush(self) -> NDArray[Any]:
        """Return the last windows, with zeros behind the end of the stream."""
        return self.feed(np.zeros(self._size - 1, self._rest.dtype))


class Decimator:
    """Keeps one of `factor` samples of a stream, after a low-pass filter that ends at the new band."""

    def __init__(self, factor: int, *, taps: int) -> None:
        """`taps` is even. More of them make the edge of the band steeper."""
        self._windows = Windows(size=taps, hop=factor, before=taps // 2)
        time = np.arange(taps) - taps / 2
        # The transition of a Hamming window has 3.3 bins of its length: it ends at the new band.
        cutoff = 1 / factor - 3.3 / taps
        low_pass = np.sinc(cutoff * time) * np.hamming(taps + 1)[:-1]
        self._low_pass = (low_pass / low_pass.sum()).astype(np.float32)

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the samples at the lower rate that are final."""
        found: NDArray[np.float32] = self._windows.feed(samples) @ self._low_pass
        return found
