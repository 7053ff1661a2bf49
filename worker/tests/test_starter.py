"""The starter runs in place of a missing model, under its own name."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sphn
from worker.tests.service import Service

from msaas.jobs import Job, JobState
from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.decoding import decode
from msaas_worker.separators import Separator
from msaas_worker.separators.starter.loader import WEIGHTS, load_starter
from tests.servers import redis_running

_DELAY = 1105
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
def fallback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A worker whose model is missing has separated one song."""
    folder = tmp_path_factory.mktemp("fallback")
    with redis_running(folder / "redis") as server, closing(Service(server, folder, Path())) as service:
        service.start_worker(MODEL_REPO="", MODEL_FALLBACK="starter")
        service.wait_for_end(service.enqueue(SONG.read_bytes()), timeout_s=180)
        yield service


def test_log_job_and_manifest_name_the_model_that_runs(fallback: Service) -> None:
    (replaced,) = [line for line in fallback.workers[0].events() if line["event"] == "model_replaced"]
    assert (replaced["model"], replaced["runs"]) == ("htdemucs", "starter")
    assert "MODEL_REPO is not set" in replaced["reason"]
    status, manifest = fallback.status(ID), fallback.manifest(ID)
    assert (status.state, status.model, manifest.model) == (JobState.DONE, "starter", "starter")
    assert not manifest.answers(Recipe(), model="htdemucs")


def test_stored_stems_add_up_to_the_song(fallback: Service) -> None:
    stems = [_read_stem(fallback, file.file) for file in fallback.manifest(ID).stems.values()]
    mixture, _ = sphn.read(str(SONG))
    # LAME and its decoder delay each stem by the same time.
    total = np.sum(stems, axis=0)[:, _DELAY : _DELAY + mixture.shape[-1]].astype(np.float64)
    song = mixture[:, : total.shape[-1]].astype(np.float64)
    assert 10 * np.log10(np.square(song).sum() / np.square(song - total).sum()) > 15


def test_its_results_do_not_answer_requests_for_the_other_model(fallback: Service, model_repo: Path) -> None:
    fallback.workers[0].terminate(timeout_s=10)
    fallback.start_worker(MODEL_REPO=str(model_repo), MODEL_FALLBACK="starter")
    fallback.queue.enqueue(Job(job_id=ID))
    fallback.wait_for_end(ID, timeout_s=180)
    assert fallback.manifest(ID).model == "htdemucs"


def _read_stem(service: Service, key: str) -> Audio:
    path = service.scratch / key
    path.write_bytes(b"".join(service.song_store.store.get("output-tracks", key)))
    samples, _ = sphn.read(str(path))
    decoded: Audio = samples
    return decoded
