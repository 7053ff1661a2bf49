"""Separation of one song: decode, separate, encode, hand over. Knows no queue and no store."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msaas.logs import get_logger
from msaas.metrics import REAL_TIME_FACTOR, SEPARATION
from msaas.recipe import Recipe
from msaas_worker.analysis.analyser import SongAnalyser
from msaas_worker.analysis.background import BackgroundAnalysis
from msaas_worker.attempt import Attempt, Step
from msaas_worker.audio.decoded import SAMPLERATE, Audio, DecodedSong
from msaas_worker.audio.decoding import decode
from msaas_worker.audio.encoders.opening import layout_of
from msaas_worker.audio.encoding import StemEncoder, StemObserver, open_encoders
from msaas_worker.audio.mixing import Mixdown, choose
from msaas_worker.audio.publisher import FragmentPublisher
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags, clean
from msaas_worker.interruption import interruptible
from msaas_worker.separators import Separator

#: The share of the work that is done when the model is: encoding keeps pace with it, storing is left.
_MODEL_SHARE = 0.98
#: Interval of the look at the encoders.
_LOOK_S = 0.5

log = get_logger()


class Sink(Protocol):
    """Takes the finished stems."""

    @property
    def takes_analysis(self) -> bool:
        """Whether the song is to be analysed."""

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        """Store the stem in `file`, which is deleted afterwards, and its peaks. Raises `StoreUnavailable`."""

    def put_analysis(self, analysis: bytes) -> None:
        """Store the analysis of the song, as JSON."""


@dataclass(frozen=True)
class EncodedStem:
    """`peaks` are those of `PeakMeter.encode`."""

    path: Path
    peaks: bytes


@dataclass(frozen=True)
class SeparatedSong:
    """`samples` is the length of the song, and of every stem, at `samplerate` Hz, the rate of the stems."""

    samples: int
    stems: tuple[str, ...]
    samplerate: int = SAMPLERATE
    #: That of the song's tags, an empty text if it has none.
    title: str = ""

    @property
    def duration_s(self) -> float:
        return self.samples / self.samplerate

    def observe(self, *, model: str, seconds: float) -> None:
        """Add the time that the separation took to the metrics."""
        SEPARATION.labels(model).observe(seconds)
        REAL_TIME_FACTOR.labels(model).observe(self.duration_s / seconds)


def separate_song(
    song: Path,
    recipe: Recipe,
    separator: Separator,
    sink: Sink,
    attempt: Attempt,
    *,
    max_duration_s: int,
    mixdown: Mixdown | None = None,
) -> SeparatedSong:
    """Separate `song` as `recipe` says and put each stem into `sink`.

    Intermediate files are put beside the song. `mixdown` replaces that of the recipe.

    Raises:
        UndecodableSong, SongTooLong: the song cannot be separated.
        LeaseLost: the work is not wanted any more.
        SeparationFailed: there is no room, or the network failed.
        FormatUnavailable: this machine cannot write the format.
    """
    with interruptible(attempt.check):
        decoded = _decode(song, attempt, max_duration_s=max_duration_s)
        mixdown = mixdown or Mixdown.of(recipe, model=separator.model)
        return _separate(decoded, recipe, mixdown, separator, sink, attempt, folder=song.parent)


def _separate(
    decoded: DecodedSong,
    recipe: Recipe,
    mixdown: Mixdown,
    separator: Separator,
    sink: Sink,
    attempt: Attempt,
    *,
    folder: Path,
) -> SeparatedSong:
    form = StemFormat.of(recipe, decoded)
    computed = separator.computed_with(mixdown.separated) if sink.takes_analysis else mixdown.separated
    regions = separator.separate(
        decoded,
        stems=computed,
        overlap=recipe.overlap,
        shifts=recipe.shifts,
        on_progress=lambda done: attempt.report_progress(done * _MODEL_SHARE),
    )
    with (
        closing(FragmentPublisher(attempt, layout_of(form))) as publisher,
        closing(BackgroundAnalysis(SongAnalyser(computed), is_active=sink.takes_analysis)) as analysis,
    ):
        chosen = choose(analysis.watch(regions, decoded), mixdown.separated, among=computed)
        mixed = mixdown.mix(chosen, decoded)
        encoded = encode(mixed, mixdown.outputs, form, folder, attempt, observer=publisher, tags=decoded.tags)
        log.info("song_separated")
        attempt.reach(Step.SONG_SEPARATED)
        for stem, found in encoded.items():
            attempt.verify()
            sink.put_stem(stem, found.path, peaks=found.peaks)
            attempt.reach(Step.STEM_STORED)
        if facts := analysis.finish():
            attempt.verify()
            sink.put_analysis(facts)
    return SeparatedSong(form.samples, mixdown.outputs, form.rate_hz, title=clean(decoded.tags.title))


def _decode(song: Path, attempt: Attempt, *, max_duration_s: int) -> DecodedSong:
    with attempt.pause_watchdog():
        decoded = decode(song, song.with_suffix(".f32"), max_duration_s=max_duration_s)
    attempt.report_progress()
    attempt.set_duration(decoded.samples / SAMPLERATE)
    log.info("song_decoded", duration_s=round(decoded.samples / SAMPLERATE, 3))
    attempt.reach(Step.SONG_DECODED)
    return decoded


def encode(
    regions: Iterator[Audio],
    stems: tuple[str, ...],
    form: StemFormat,
    folder: Path,
    attempt: Attempt,
    *,
    observer: StemObserver,
    tags: Tags = Tags(),
    look_s: float = _LOOK_S,
) -> Mapping[str, EncodedStem]:
    """Encode regions `[stems, 2, samples]` as they come; return each stem."""
    with open_encoders(folder, stems, form, tags=tags, observer=observer) as encoders:
        for region in regions:
            for encoder, samples in zip(encoders, region, strict=True):
                encoder.write(samples)
        _finish(encoders, attempt, look_s=look_s)
        return {encoder.stem: EncodedStem(encoder.path, encoder.peaks()) for encoder in encoders}


def _finish(encoders: Sequence[StemEncoder], attempt: Attempt, *, look_s: float) -> None:
    """Wait for the last bytes. Every encoded block counts as progress: a long song may be encoded again."""
    endings, seen = [encoder.finish() for encoder in encoders], -1
    while wait(endings, timeout=look_s).not_done:
        if (blocks := sum(encoder.encoded_blocks for encoder in encoders)) != seen:
            seen = blocks
            attempt.report_progress()
        attempt.check()
    for ending in endings:
        ending.result()
    attempt.report_progress()
