"""A tiny model on disk, a system, and real worker processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from worker.tests.models import tiny, write_repo

from tests.servers import RedisServer, redis_running
from tests.system import System, open_system
from tests.worker_pool import REAL_WORKER, WorkerPool, open_pool


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Models this small only wait for their threads. Preparing a model sets more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repo(tmp_path_factory.mktemp("models"), [tiny()])


@pytest.fixture
def system(redis_server: RedisServer, tmp_path: Path) -> System:
    return open_system(tmp_path, redis_server)


@pytest.fixture
def real_pool(system: System, tmp_path: Path, model_repo: Path) -> Iterator[WorkerPool]:
    """Workers with the tiny model; none yet."""
    system.environment |= model_settings(model_repo, tmp_path)
    with open_pool(system, tmp_path / "pool", command=REAL_WORKER) as pool:
        yield pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory, model_repo: Path) -> Iterator[WorkerPool]:
    """One worker with the tiny model for all tests of a module that leave it alone."""
    folder = tmp_path_factory.mktemp("shared")
    with redis_running(folder / "redis") as server:
        system = open_system(folder, server, **model_settings(model_repo, folder))
        with open_pool(system, folder / "pool", command=REAL_WORKER) as pool:
            pool.start()
            yield pool


def model_settings(model_repo: Path, folder: Path) -> dict[str, str]:
    """Return the environment of a worker that finds the models of `model_repo` and no others."""
    return {
        "MODEL_REPO": str(model_repo),
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_OFFLINE": "1",
        "PRECISION": "exact",
    }
