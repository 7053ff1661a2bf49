"""The analysis beside a separation: it is stored with the stems, and never fails a job."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker.tests.songs import decoded, mp3, noise, song_mp3
from worker.tests.test_rhythm import BACKBEAT, drums

from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe
from msaas_worker.analysis.analyser import SongAnalyser
from msaas_worker.analysis.background import BackgroundAnalysis
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.separation import separate_song
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.library import open_library
from tests.faults.quick_engine import QuickSeparator
from tests.unattended import MemorySink


def separate(song: bytes, folder: Path, separator: Separator, recipe: Recipe = Recipe()) -> MemorySink:
    path, sink = folder / "song.mp3", MemorySink()
    path.write_bytes(song)
    separate_song(path, recipe, separator, sink, UnattendedAttempt(), max_duration_s=60)
    return sink


@pytest.mark.process
def test_separated_song_has_an_analysis(tmp_path: Path) -> None:
    sink = separate(mp3(drums(120, BACKBEAT, seconds=20)), tmp_path, QuickSeparator(model="htdemucs"))
    found = json.loads(sink.analysis)
    assert found["duration_s"] == pytest.approx(20, abs=0.1)
    assert found["tempo"]["bpm"] == pytest.approx(120, rel=0.01)
    assert found["loudness"]["integrated_lufs"] < 0
    assert set(found) == {"version", "duration_s", "loudness", "key", "tempo", "beats"}


@pytest.mark.process
@pytest.mark.parametrize("options", [{"stems": ("vocals",)}, {"two_stems": "vocals"}])
def test_analysis_has_the_stems_that_the_network_computes(tmp_path: Path, options: dict[str, Any]) -> None:
    """The song is the same, so the facts are those of a request for all stems."""
    library = open_library(default="starter", repo=None, fallback="", device="cpu", precision="exact")
    song = mp3(drums(120, BACKBEAT, seconds=12))
    whole = separate(song, tmp_path, library.get("starter"))
    part = separate(song, tmp_path, library.get("starter"), Recipe(**options))
    assert json.loads(whole.analysis)["tempo"]
    assert part.analysis == whole.analysis
    assert part.stems["vocals"] == whole.stems["vocals"]


@pytest.mark.process
def test_sink_without_analyses_gets_none(tmp_path: Path) -> None:
    class PlainSink(MemorySink):
        takes_analysis = False

    song, sink = tmp_path / "song.mp3", PlainSink()
    song.write_bytes(song_mp3(2))
    separate_song(
        song, Recipe(), QuickSeparator(model="htdemucs"), sink, UnattendedAttempt(), max_duration_s=60
    )
    assert set(sink.stems) == set(FOUR_STEMS)
    assert sink.analysis == b""


class FailingAnalyser(SongAnalyser):
    """Fails at a region, or at the end."""

    def __init__(self, *, regions: int) -> None:
        super().__init__(FOUR_STEMS)
        self.regions = regions

    def feed(self, region: Audio, song: Audio) -> None:
        if not self.regions:
            raise ValueError("a defect")
        self.regions -= 1
        super().feed(region, song)

    def encode(self) -> bytes:
        raise MemoryError


def regions_of(song: Audio) -> Iterator[Audio]:
    for start in range(0, song.shape[-1], SAMPLERATE):
        yield np.stack([song[:, start : start + SAMPLERATE]] * 4)


@pytest.mark.parametrize("regions", [0, 2, 99], ids=["first region", "third region", "end"])
def test_analysis_that_fails_is_absent(regions: int, tmp_path: Path) -> None:
    song = noise(5 * SAMPLERATE)
    analysis = BackgroundAnalysis(FailingAnalyser(regions=regions))
    watched = list(analysis.watch(regions_of(song), decoded(song, tmp_path / "song.f32")))
    assert np.array_equal(np.concatenate(watched, axis=-1)[0], song)
    assert analysis.finish() is None
    analysis.close()


def test_analysis_is_that_of_the_whole_song(tmp_path: Path) -> None:
    song, whole = noise(5 * SAMPLERATE), SongAnalyser(FOUR_STEMS)
    whole.feed(np.stack([song] * 4), song)
    analysis = BackgroundAnalysis(SongAnalyser(FOUR_STEMS))
    for _ in analysis.watch(regions_of(song), decoded(song, tmp_path / "song.f32")):
        pass
    found = json.loads(analysis.finish() or b"")
    assert found["loudness"] == json.loads(whole.encode())["loudness"]
    analysis.close()


def test_facts_kept_of_a_long_song_are_small() -> None:
    """Two hours keep less than 10 MB."""
    analyser, minute = SongAnalyser(FOUR_STEMS), noise(60 * SAMPLERATE)
    analyser.feed(np.stack([minute] * 4), minute)
    meters = (analyser._onsets._strengths, analyser._pitches._chroma, analyser._loudness._energies)
    kept = sum(array.nbytes for arrays in meters for array in arrays)
    assert 120 * kept < 10e6


@pytest.mark.parametrize(
    ("bag", "stems", "computed"),
    [
        (Bag.of_equals(FOUR_STEMS, networks=2), ("vocals",), FOUR_STEMS),
        (Bag(FOUR_STEMS, ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))), ("bass",), ("bass",)),
        (Bag(FOUR_STEMS, ((1, 1, 0, 0), (0, 0, 1, 1))), ("drums",), ("drums", "bass")),
        (Bag(FOUR_STEMS, ((1, 1, 0, 0), (1, 0, 1, 1))), ("drums",), FOUR_STEMS),
        (Bag(FOUR_STEMS, ((1, 1, 1, 0),)), ("drums",), ("drums", "bass", "other")),
    ],
    ids=["one for all", "one for each", "pairs", "overlapping", "a stem without a network"],
)
def test_bag_names_the_stems_that_need_no_further_network(
    bag: Bag, stems: tuple[str, ...], computed: tuple[str, ...]
) -> None:
    assert bag.computed_with(stems) == computed
