"""A job makes a result once, and stores it in the format of its recipe."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from worker.tests.songs import song_mp3

from common.tests.stores import WatchedStore
from msaas.formats import FORMATS, Format
from msaas.jobs import Job
from msaas.manifest import Manifest
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.job.handler import JobHandler
from msaas_worker.scratch import Scratch
from tests.faults.quick_engine import QuickSeparator

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

    def __init__(self, folder: Path, *, runs: str = "") -> None:
        self.store = WatchedStore(InMemoryStore())
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.song_store.put_song(SONG, io.BytesIO(MP3), size_bytes=len(MP3))
        self.separators = CountingSeparators(runs)
        self._handler = JobHandler(
            song_store=self.song_store,
            separators=self.separators,
            scratch=Scratch(folder),
            default_model=DEFAULT,
            max_duration_s=60,
        )

    def do(self, message: dict[str, str]) -> Manifest:
        """Do the job of a message. Return the manifest afterwards."""
        job = Job.decode(json.dumps(message).encode())
        self._handler.handle(job, UnattendedAttempt())
        manifest = self.song_store.manifest(job.job_id)
        assert manifest is not None
        return manifest


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


def test_stems_have_the_extension_of_the_format(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "wav", Format(name="wav", extension="wav", media_type="audio/wav"))
    recipe = Recipe(format="wav")
    job_id = recipe.job_id(SONG)
    manifest = bench.do({"hash": job_id, "format": "wav"})
    assert {stem: entry.file for stem, entry in manifest.stems.items()} == {
        stem: f"{job_id}-{stem}.wav" for stem in recipe.stems(model=DEFAULT)
    }
