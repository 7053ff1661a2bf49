"""Separation of a song into stems by neural networks.

The model families `demucs` and `starter` do not know each other. `htdemucs` is the fast forward pass that
both use, and the modules beside it serve every family.
"""

from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from msaas.errors import ModelUnavailable
from msaas_worker.audio.decoded import Audio, DecodedSong

#: Called after each segment with the share of the song that is done (0 to 1). An exception ends the
#: separation.
OnProgress = Callable[[float], None]
#: `exact` is float32. `auto` and `fast` allow 16 bits, as far as the measured error permits.
Precision = Literal["auto", "exact", "fast"]
#: Default share of a segment that overlaps the next one, as in demucs.
OVERLAP = 0.25


class ModelPending(ModelUnavailable):
    """The model is being downloaded."""


class Separator(Protocol):
    """A loaded model."""

    @property
    def model(self) -> str:
        """Name of the model that runs, as in `msaas.models.MODELS`; never that of a model it replaces."""

    @property
    def weights_sha256(self) -> str: ...

    @property
    def engine(self) -> str:
        """Implementation and arithmetic. The same engine and weights give the same samples of a song."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""

    def computed_with(self, stems: tuple[str, ...]) -> tuple[str, ...]:
        """Return `stems` and those that the same networks compute, in the order of the model."""

    def separate(
        self,
        song: DecodedSong,
        *,
        stems: tuple[str, ...],
        on_progress: OnProgress,
        overlap: float = OVERLAP,
        shifts: int = 0,
    ) -> Iterator[Audio]:
        """Yield regions `[stems, 2, samples]` as they become final. Joined, they are as long as the song.

        `overlap` is the share of a segment that overlaps the next one, and `shifts` the number of shifted
        passes that are averaged, 0 for one pass without a shift. Both are those of demucs.
        """


class Separators(Protocol):
    """The models that jobs can use."""

    def get(self, model: str) -> Separator:
        """Return the model, or the model that runs in its place.

        Raises:
            ModelPending: the model is being downloaded. The job waits for it in the queue.
            ModelUnavailable: there is neither.
        """
