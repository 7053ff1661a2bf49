"""Separation by a bag of networks, streamed over a song."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import demucs

from msaas.logs import get_logger
from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.separators import OVERLAP, OnProgress, Precision
from msaas_worker.separators.bag import Bag, align
from msaas_worker.separators.devices import usable_cores
from msaas_worker.separators.htdemucs import BuildNetwork, prepare
from msaas_worker.separators.overlap_add import Mixture, Runner, segments_of
from msaas_worker.separators.shifts import draw_starts

#: Segments computed at once. A single segment does not keep a GPU busy.
_MIN_BATCH = {"cpu": 1, "cuda": 8}

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class BagSeparator:
    """Implements `Separator`. There is one runner for each network of the bag."""

    model: str
    bag: Bag
    runners: tuple[Runner, ...]
    weights_sha256: str
    #: Whether the stems add up to the mixture. Each then gets a part of its mean, otherwise all of it.
    adds_up: bool = False

    @property
    def device(self) -> str:
        return self.runners[0].device

    @property
    def arithmetic(self) -> str:
        return self.runners[0].arithmetic

    @property
    def engine(self) -> str:
        return f"demucs-{demucs.__version__}/{self.device}/{self.arithmetic}"

    def computed_with(self, stems: tuple[str, ...]) -> tuple[str, ...]:
        return self.bag.computed_with(stems)

    def separate(
        self,
        song: DecodedSong,
        *,
        stems: tuple[str, ...],
        on_progress: OnProgress,
        overlap: float = OVERLAP,
        shifts: int = 0,
    ) -> Iterator[Audio]:
        mixture, rows = Mixture(song), self.bag.rows(stems)
        # Networks that do not run have shifts, too: one stem gets the same samples as among all stems.
        starts = draw_starts(shifts, networks=len(self.runners))
        required = {
            index: self.runners[index].with_overlap(overlap) for index in self.bag.required_networks(rows)
        }
        segments = sum(
            len(runner.segments.places(song.samples, starts[index])) for index, runner in required.items()
        )
        progress = _Progress(on_progress, segments)
        streams = {
            index: runner.regions(mixture, on_segments=progress.add, starts=starts[index])
            for index, runner in required.items()
        }
        mean = mixture.mean / len(self.bag.stems) if self.adds_up else mixture.mean
        for estimates in align(streams, samples=song.samples):
            estimate = self.bag.mean(estimates, rows)
            yield (estimate * mixture.std + mean).numpy()


def make_runner(network: Any, build: BuildNetwork | None, *, device: str, precision: Precision) -> Runner:
    """Prepare a network of demucs' interface to run; `build` is its fast form, as in `prepare`."""
    prepared = prepare(network, build, precision=precision, device=device, threads=usable_cores())
    return Runner(
        segments=segments_of(network),
        forward=prepared.forward,
        device=device,
        batch=max(prepared.batch, _MIN_BATCH[device]),
        arithmetic=prepared.arithmetic,
        snr_db=prepared.snr_db,
    )


def log_precision(separator: BagSeparator) -> None:
    """Log the arithmetic of a model whose error was measured, with the ratio of its worst network."""
    ratios = [runner.snr_db for runner in separator.runners if runner.snr_db is not None]
    if ratios:
        log.info(
            "precision_chosen",
            model=separator.model,
            arithmetic=separator.arithmetic,
            snr_db=round(min(ratios), 1),
        )


@dataclass
class _Progress:
    on_progress: OnProgress
    segments: int
    done: int = 0

    def add(self, segments: int) -> None:
        self.done += segments
        self.on_progress(self.done / self.segments)
