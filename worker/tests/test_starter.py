"""The model that travels with the package does the work where the other is nowhere, under its own name."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sphn
from worker.tests.service import Service

from msaas.jobs import Job, JobState
from msaas.songs import song_hash
from msaas_worker.decoded import Audio
from msaas_worker.decoding import decode
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.library import load_separator
from msaas_worker.separators.repository import Repository
from tests.servers import redis_running

_DELAY = 1105
SONG = Path(__file__).parents[2] / "data" / "engine-room.mp3"
ID = song_hash(SONG.read_bytes())


@pytest.fixture(scope="module")
def starter() -> DemucsSeparator:
    nowhere = Repository(None, Hub(Path("/dev/null/hub"), "http://127.0.0.1:9", 1.0))
    loaded = load_separator("starter", nowhere, device="cpu", precision="exact")
    assert isinstance(loaded, DemucsSeparator)
    return loaded


def test_its_stems_add_up_to_the_song(starter: DemucsSeparator, tmp_path: Path) -> None:
    song = decode(SONG, tmp_path / "song", max_duration_s=60)
    mixture = song.read(0, song.samples).astype(np.float64)
    stems = np.concatenate(list(starter.separate(song, stems=starter.stems, on_progress=lambda _: None)), -1)
    error = np.square(mixture - stems.sum(0)).sum()
    assert 10 * np.log10(np.square(mixture).sum() / error) > 60


@pytest.fixture(scope="module")
def fallback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A worker without its model has done one song."""
    folder = tmp_path_factory.mktemp("fallback")
    with redis_running(folder / "redis") as server, closing(Service(server, folder, Path())) as service:
        service.start_worker(MODEL_REPO="", MODEL_FALLBACK="starter")
        service.wait_for_end(service.enqueue(SONG.read_bytes()), timeout_s=180)
        yield service


def test_it_stands_in_and_says_so_in_the_log_the_job_and_the_manifest(fallback: Service) -> None:
    first, status, manifest = fallback.workers[0].events()[0], fallback.status(ID), fallback.manifest(ID)
    assert (first["event"], first["model"], first["instead_of"]) == ("model_loaded", "starter", "htdemucs")
    assert "MODEL_REPO is not set" in first["because"]
    assert (status.state, status.model, manifest.model) == (JobState.DONE, "starter", "starter")
    assert not manifest.answers(model="htdemucs", stems=tuple(manifest.stems))


def test_stems_as_stored_add_up_to_the_song(fallback: Service) -> None:
    stems = [_stored(fallback, file.file) for file in fallback.manifest(ID).stems.values()]
    mixture, _ = sphn.read(str(SONG))
    # LAME and its decoder delay every stem alike.
    total = np.sum(stems, axis=0)[:, _DELAY : _DELAY + mixture.shape[-1]].astype(np.float64)
    song = mixture[:, : total.shape[-1]].astype(np.float64)
    assert 10 * np.log10(np.square(song).sum() / np.square(song - total).sum()) > 15


def test_its_results_are_never_taken_for_the_other_models(fallback: Service, model_repo: Path) -> None:
    fallback.workers[0].terminate(timeout_s=10)
    fallback.start_worker(MODEL_REPO=str(model_repo), MODEL_FALLBACK="starter")
    fallback.queue.enqueue(Job(ID))
    fallback.wait_for_end(ID, timeout_s=180)
    assert fallback.manifest(ID).model == "htdemucs"


def _stored(service: Service, key: str) -> Audio:
    path = service.scratch / key
    path.write_bytes(b"".join(service.tracks.store.get("output-tracks", key)))
    samples, _ = sphn.read(str(path))
    decoded: Audio = samples
    return decoded
