"""A separator turns a song into stems, and gives each region away as soon as it is final."""

from collections.abc import Callable, Iterator
from typing import Protocol

from msaas_worker.decoded import Audio, DecodedSong

#: Told after each segment: the share of the song that is done, 0 to 1. What it raises ends the separation.
OnProgress = Callable[[float], None]


class Separator(Protocol):
    """A model that is loaded and ready."""

    @property
    def model(self) -> str:
        """The model that really runs: of the table, never the one it stands in for."""

    @property
    def stems(self) -> tuple[str, ...]: ...

    @property
    def weights_sha256(self) -> str: ...

    @property
    def engine(self) -> str:
        """What runs it; the same engine and weights make the same samples of the same song."""

    @property
    def device(self) -> str: ...

    def separate(
        self, song: DecodedSong, *, stems: tuple[str, ...], on_progress: OnProgress
    ) -> Iterator[Audio]:
        """Yield regions `[stems, 2, samples]` that joined are as long as the song."""


class Separators(Protocol):
    """Where a job gets its model."""

    def get(self, model: str) -> Separator:
        """Return the model, or what stands in for it. Raises `ModelUnavailable`."""
