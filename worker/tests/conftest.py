"""What the worker's tests share: a tiny model on disk, a real queue, a store, and real worker processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from worker.tests.models import tiny, write_repo
from worker.tests.workers import Workers

from msaas.directory_store import DirectoryStore
from msaas.queue import QueuePolicy
from msaas.redis_queue import RedisQueue
from msaas.tracks import Tracks
from tests.servers import RedisServer

#: Scaled down from a minute, with room for a crowded machine.
POLICY = QueuePolicy(lease_s=3.0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repo(tmp_path_factory.mktemp("models"), [tiny()])


@pytest.fixture
def tracks(tmp_path: Path) -> Tracks:
    tracks = Tracks(DirectoryStore(tmp_path / "store"))
    tracks.prepare()
    return tracks


@pytest.fixture
def queue(redis_server: RedisServer) -> RedisQueue:
    return RedisQueue(redis_server.address, policy=POLICY)


@pytest.fixture
def workers(redis_server: RedisServer, tmp_path: Path, model_repo: Path) -> Iterator[Workers]:
    workers = Workers(
        folder=tmp_path / "workers",
        environment={
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis_server.port),
            "STORE_DIR": str(tmp_path / "store"),
            "MODEL_REPO": str(model_repo),
            "LEASE_SECONDS": str(POLICY.lease_s),
        },
    )
    yield workers
    workers.kill_all()
