"""A decoded song lies in a file, so that its length costs disk and no memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: What the models were trained on, Hz.
SAMPLERATE = 44_100
CHANNELS = 2
#: A frame is one float32 sample of each channel.
FRAME_BYTES = CHANNELS * 4

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class DecodedSong:
    """Interleaved float32 frames; `mean` and `std` are those of the mono downmix over the whole song."""

    path: Path
    samples: int
    mean: float
    std: float

    def read(self, start: int, stop: int) -> Audio:
        """Return the samples `[2, stop - start]`; both ends must lie in the song."""
        frames = np.fromfile(
            self.path, np.float32, count=(stop - start) * CHANNELS, offset=start * FRAME_BYTES
        )
        return frames.reshape(-1, CHANNELS).T
