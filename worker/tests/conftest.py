"""What the worker's tests share: a tiny model on disk, a real queue, a store, and real worker processes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from worker.tests.models import tiny, write_repo
from worker.tests.service import Service, store_in

from msaas.storage.song_store import SongStore
from tests.servers import RedisServer, redis_running


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Models this small only wait for their threads; a model that is prepared asks for more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repo(tmp_path_factory.mktemp("models"), [tiny()])


@pytest.fixture
def song_store(tmp_path: Path) -> SongStore:
    return store_in(tmp_path)


@pytest.fixture
def service(redis_server: RedisServer, tmp_path: Path, model_repo: Path) -> Iterator[Service]:
    """A queue, a store and no worker yet."""
    with closing(Service(redis_server, tmp_path, model_repo)) as service:
        yield service


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, model_repo: Path) -> Iterator[Service]:
    """One worker for all tests of a module that leave it alone."""
    folder = tmp_path_factory.mktemp("standing")
    with redis_running(folder / "redis") as server, closing(Service(server, folder, model_repo)) as service:
        service.start_worker().wait_until_said("worker_started")
        yield service
