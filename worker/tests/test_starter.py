"""The starter runs in place of a missing model, under its own name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from msaas.jobs import Job, JobState
from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.decoding import decode
from msaas_worker.separators import Separator
from msaas_worker.separators.starter.loader import WEIGHTS, load_starter
from tests.servers import redis_running
from tests.system import open_system
from tests.worker_pool import REAL_WORKER, WorkerPool, open_pool

pytestmark = [pytest.mark.process, pytest.mark.long]
SONG = Path(__file__).parents[2] / "data" / "engine-room.mp3"
ID = song_hash(SONG.read_bytes())


@pytest.fixture(scope="module")
def starter() -> Separator:
    return load_starter(WEIGHTS, precision="exact")


def test_stems_add_up_to_the_song(starter: Separator, tmp_path: Path) -> None:
    song = decode(SONG, tmp_path / "song", max_duration_s=60)
    mixture = song.read(0, song.samples).astype(np.float64)
    stems = np.concatenate(list(starter.separate(song, stems=FOUR_STEMS, on_progress=lambda _: None)), -1)
    error = np.square(mixture - stems.sum(0)).sum()
    assert 10 * np.log10(np.square(mixture).sum() / error) > 60


@pytest.fixture(scope="module")
def fallback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """A worker whose model is missing has separated one song."""
    folder = tmp_path_factory.mktemp("fallback")
    offline = {"HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "PRECISION": "exact"}
    with redis_running(folder / "redis") as server:
        system = open_system(folder, server, MODEL_FALLBACK="starter", **offline)
        with open_pool(system, folder / "pool", command=REAL_WORKER) as pool:
            pool.start(ready=False)
            system.wait_for_end(system.send(SONG.read_bytes()))
            yield pool


def test_log_job_and_manifest_name_the_model_that_runs(fallback: WorkerPool) -> None:
    (replaced,) = fallback.workers[0].events("model_replaced")
    assert (replaced["model"], replaced["runs"]) == ("htdemucs", "starter")
    assert "MODEL_REPO is not set" in replaced["reason"]
    status, manifest = fallback.system.status(ID), fallback.system.manifest(ID)
    assert (status.state, status.model, manifest.model) == (JobState.DONE, "starter", "starter")
    assert not manifest.answers(Recipe(), model="htdemucs")


def test_stored_stems_add_up_to_the_song(fallback: WorkerPool, tmp_path: Path) -> None:
    stems = [_decode_stem(mp3, tmp_path) for mp3 in fallback.system.stems(ID).values()]
    total = np.sum(stems, axis=0, dtype=np.float64)
    song = _decode(SONG, tmp_path).astype(np.float64)
    assert 10 * np.log10(np.square(song).sum() / np.square(song - total).sum()) > 15


def test_its_results_do_not_answer_requests_for_the_other_model(
    fallback: WorkerPool, model_repo: Path
) -> None:
    system = fallback.system
    fallback.workers[0].terminate(timeout_s=10)
    fallback.start(MODEL_REPO=str(model_repo), ready=False)
    system.queue.enqueue(Job(job_id=ID))
    system.wait_for_end(ID)
    assert system.manifest(ID).model == "htdemucs"


def _decode_stem(mp3: bytes, folder: Path) -> Audio:
    path = folder / "stem.mp3"
    path.write_bytes(mp3)
    return _decode(path, folder)


def _decode(path: Path, folder: Path) -> Audio:
    song = decode(path, folder / "decoded", max_duration_s=60)
    return song.read(0, song.samples)
