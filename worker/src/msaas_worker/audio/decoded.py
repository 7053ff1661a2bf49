"""A decoded song: samples in a file, so that a long song costs disk and no memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas_worker.audio.tags import Tags

#: Sample rate of the models, in Hz.
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
    #: The sample rate of the file, and the length of the song at this rate.
    source_hz: int = SAMPLERATE
    source_samples: int = 0
    tags: Tags = Tags()

    def read(self, start: int, stop: int) -> Audio:
        """Return the samples `[2, stop - start]`; both are within the song."""
        frames = np.fromfile(
            self.path, np.float32, count=(stop - start) * CHANNELS, offset=start * FRAME_BYTES
        )
        return frames.reshape(-1, CHANNELS).T
