"""A job makes a result once, and stores it in the format of its recipe."""

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from worker.tests.songs import mp3, noise, song_mp3

from common.tests.stores import WatchedStore
from msaas.errors import FormatUnavailable
from msaas.formats import FORMATS
from msaas.jobs import Job
from msaas.manifest import Manifest
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.encoders import opening
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.job.handler import JobHandler
from msaas_worker.scratch import Scratch
from tests.faults.quick_engine import QuickSeparator
from tests.servers import absent

MP3 = song_mp3(0.5)
SONG = song_hash(MP3)
DEFAULT = "htdemucs"
#: The handler starts decoders.
pytestmark = pytest.mark.process


@dataclass
class CountingSeparators:
    """Implements `Separators`, and notes the requested models. `runs` replaces all of them."""

    runs: str = ""
    requested: list[str] = field(default_factory=list)

    def get(self, model: str) -> QuickSeparator:
        self.requested.append(model)
        return QuickSeparator(model=self.runs or model)


class Bench:
    """A handler, and a store with one song."""

    def __init__(self, folder: Path, *, runs: str = "", song: bytes = MP3) -> None:
        self.song = song_hash(song)
        self.store = WatchedStore(InMemoryStore())
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.song_store.put_song(self.song, io.BytesIO(song), size_bytes=len(song))
        self.separators = CountingSeparators(runs)
        self._handler = JobHandler(
            song_store=self.song_store,
            separators=self.separators,
            scratch=Scratch(folder),
            default_model=DEFAULT,
            max_duration_s=60,
        )

    def do(self, message: dict[str, Any]) -> Manifest:
        """Do the job of a message. Return the manifest afterwards."""
        job = Job.decode(json.dumps(message).encode())
        self._handler.handle(job, UnattendedAttempt())
        manifest = self.song_store.manifest(job.job_id)
        assert manifest is not None
        return manifest

    def stem(self, job_id: str, stem: str) -> bytes:
        """Return the file of a stem."""
        manifest = self.song_store.manifest(job_id)
        assert manifest is not None
        return b"".join(self.store.get("output-tracks", manifest.stems[stem].file))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("first", [{}, {"model": DEFAULT}])
@pytest.mark.parametrize("second", [{}, {"model": DEFAULT}])
def test_job_that_names_the_default_model_is_done_once(
    bench: Bench, first: dict[str, str], second: dict[str, str]
) -> None:
    manifest = bench.do({"hash": SONG, **first})
    assert (manifest.model, manifest.options) == (DEFAULT, {})
    assert bench.do({"hash": SONG, **second}) == manifest
    assert bench.separators.requested == [DEFAULT]


def test_old_result_that_names_the_default_model_is_not_made_again(bench: Bench) -> None:
    manifest = bench.do({"hash": SONG})
    bench.song_store.put_manifest(Manifest(**{**vars(manifest), "options": {"model": DEFAULT}}))
    for message in ({"hash": SONG}, {"hash": SONG, "model": DEFAULT}):
        bench.do(message)
    assert bench.separators.requested == [DEFAULT]


def test_result_of_a_stand_in_is_not_made_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, runs="starter")
    manifest = bench.do({"hash": SONG})
    assert manifest.model == "starter"
    before = list(bench.store.puts)
    assert bench.do({"hash": SONG}) == manifest
    assert bench.store.puts == before


@pytest.mark.parametrize("name", FORMATS)
def test_stems_have_the_format_of_the_recipe(bench: Bench, name: str) -> None:
    if FORMATS[name].needs_ffmpeg and not find_ffmpeg():
        absent("ffmpeg")
    recipe = Recipe(format=name)
    job_id = recipe.job_id(SONG)
    manifest = bench.do({"hash": job_id, **recipe.options()})
    extension = FORMATS[name].extension
    assert {stem: entry.file for stem, entry in manifest.stems.items()} == {
        stem: f"{job_id}-{stem}.{extension}" for stem in recipe.outputs(model=DEFAULT)
    }
    assert manifest.samplerate == (48_000 if name == "opus" else 44_100)
    assert manifest.samples / manifest.samplerate == pytest.approx(0.5, abs=0.1)
    starts = {"mp3": b"\xff\xfb", "flac": b"fLaC", "wav": b"RIFF", "opus": b"OggS", "m4a": b"\0\0\0"}
    for stem in manifest.stems:
        assert bench.stem(job_id, stem).startswith(starts[name])


def test_two_stems_are_the_stem_and_its_complement(bench: Bench) -> None:
    recipe = Recipe(two_stems="vocals", format="wav", bits="float", clip="none")
    job_id = recipe.job_id(SONG)
    manifest = bench.do({"hash": job_id, **recipe.options()})
    assert set(manifest.stems) == {"vocals", "no_vocals"}
    vocals, rest = (read_frames(bench.stem(job_id, stem)) for stem in ("vocals", "no_vocals"))
    # The quick engine gives the only stem a tenth of the song.
    np.testing.assert_allclose(rest, 9 * vocals, atol=1e-6)


def test_chosen_stems_alone_are_made(bench: Bench) -> None:
    recipe = Recipe(stems=("bass", "vocals"))
    manifest = bench.do({"hash": recipe.job_id(SONG), **recipe.options()})
    assert tuple(manifest.stems) == ("bass", "vocals")


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(two_stems="drums")], ids=["all stems", "two stems"])
def test_exact_stems_add_up_to_the_decoded_song(bench: Bench, recipe: Recipe) -> None:
    recipe = replace(recipe, exact_sum=True, format="flac", bits="16")
    job_id = recipe.job_id(SONG)
    manifest = bench.do({"hash": job_id, **recipe.options()})
    stems = [read_frames(bench.stem(job_id, stem), "int16").astype(np.int64) for stem in manifest.stems]
    song = read_frames(MP3)
    np.testing.assert_array_equal(sum(stems), np.rint(song.astype(np.float64) * 2**15))


def test_stems_can_have_the_rate_of_the_song(tmp_path: Path) -> None:
    song = mp3(noise(30_000), samplerate=48_000)
    bench = Bench(tmp_path, song=song)
    recipe = Recipe(format="wav", sample_rate="source")
    job_id = recipe.job_id(bench.song)
    manifest = bench.do({"hash": job_id, **recipe.options()})
    frames = read_frames(bench.stem(job_id, "drums"))
    assert manifest.samplerate == 48_000
    assert len(frames) == manifest.samples == len(read_frames(song))


def test_worker_without_ffmpeg_hands_an_m4a_job_on_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_ffmpeg", lambda: None)
    recipe = Recipe(format="m4a")
    with pytest.raises(FormatUnavailable, match="ffmpeg"):
        bench.do({"hash": recipe.job_id(SONG), **recipe.options()})
    assert bench.separators.requested == []


def read_frames(file: bytes, dtype: str = "float32") -> np.typing.NDArray[np.generic]:
    frames: np.typing.NDArray[np.generic] = soundfile.read(io.BytesIO(file), dtype=dtype)[0]
    return frames
