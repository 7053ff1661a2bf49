"""The demucs engine: a bag of models, streamed over a song."""

from collections.abc import Iterator
from dataclasses import dataclass

import demucs
from torch import Tensor

from msaas_worker.decoded import Audio, DecodedSong
from msaas_worker.separators import OnProgress
from msaas_worker.separators.bag import Bag, in_step
from msaas_worker.separators.overlap_add import Forward, Mixture, Segments, regions


@dataclass(frozen=True)
class DemucsSeparator:
    """Implements `Separator`; `forwards` are the models of the bag as they are run."""

    model: str
    bag: Bag
    forwards: tuple[Forward, ...]
    weights_sha256: str
    device: str
    precision: str

    @property
    def stems(self) -> tuple[str, ...]:
        return self.bag.sources

    @property
    def engine(self) -> str:
        return f"demucs-{demucs.__version__}/{self.device}/{self.precision}"

    def separate(
        self, song: DecodedSong, *, stems: tuple[str, ...], on_progress: OnProgress
    ) -> Iterator[Audio]:
        mixture, rows = Mixture(song), self.bag.rows(stems)
        needed = self.bag.needed(rows)
        progress = _Progress(on_progress, segments=sum(self._segments(index, song) for index in needed))
        streams = {index: progress.counted(self._regions(index, mixture)) for index in needed}
        for estimates in in_step(streams, song.samples):
            estimate = self.bag.mean(estimates, rows)
            yield (estimate * mixture.std + mixture.mean).numpy()

    def _segments(self, index: int, song: DecodedSong) -> int:
        return len(Segments(self.bag.models[index]).offsets(song.samples))

    def _regions(self, index: int, mixture: Mixture) -> Iterator[Tensor]:
        return regions(mixture, Segments(self.bag.models[index]), forward=self.forwards[index])


class _Progress:
    def __init__(self, on_progress: OnProgress, *, segments: int) -> None:
        self._on_progress = on_progress
        self._segments = segments
        self._done = 0

    def counted(self, stream: Iterator[Tensor]) -> Iterator[Tensor]:
        for region in stream:
            self._done += 1
            self._on_progress(self._done / self._segments)
            yield region
