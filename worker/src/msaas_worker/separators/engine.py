"""The demucs engine: a bag of models, streamed over a song."""

from collections.abc import Iterator
from dataclasses import dataclass

import demucs

from msaas_worker.decoded import Audio, DecodedSong
from msaas_worker.separators import OnProgress
from msaas_worker.separators.bag import Bag, in_step
from msaas_worker.separators.overlap_add import Mixture, Runner


@dataclass(frozen=True)
class DemucsSeparator:
    """Implements `Separator`; `runners` are the models of the bag, ready to run."""

    model: str
    bag: Bag
    runners: tuple[Runner, ...]
    weights_sha256: str
    arithmetic: str
    #: Whether the stems add up to the song: then they share its mean, which demucs gives back to each.
    adds_up: bool = False

    @property
    def stems(self) -> tuple[str, ...]:
        return self.bag.sources

    @property
    def device(self) -> str:
        return self.runners[0].device

    @property
    def engine(self) -> str:
        return f"demucs-{demucs.__version__}/{self.device}/{self.arithmetic}"

    def separate(
        self, song: DecodedSong, *, stems: tuple[str, ...], on_progress: OnProgress
    ) -> Iterator[Audio]:
        mixture, rows = Mixture(song), self.bag.rows(stems)
        needed = {index: self.runners[index] for index in self.bag.needed(rows)}
        segments = sum(len(runner.segments.offsets(song.samples)) for runner in needed.values())
        progress = _Progress(on_progress, segments)
        streams = {
            index: runner.regions(mixture, on_segments=progress.add) for index, runner in needed.items()
        }
        mean = mixture.mean / len(self.stems) if self.adds_up else mixture.mean
        for estimates in in_step(streams, song.samples):
            estimate = self.bag.mean(estimates, rows)
            yield (estimate * mixture.std + mean).numpy()


@dataclass
class _Progress:
    on_progress: OnProgress
    segments: int
    done: int = 0

    def add(self, segments: int) -> None:
        self.done += segments
        self.on_progress(self.done / self.segments)
