"""Worker processes: start and stop."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs
from worker.tests.model_families import CountingFamily, ManualTasks, make_library
from worker.tests.songs import song_mp3

from msaas.errors import ModelUnavailable
from msaas.jobs import JobState
from msaas.queue.memory import InMemoryQueue
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.__main__ import bootstrap
from msaas_worker.scratch import Scratch
from msaas_worker.separators import Separator, Separators
from msaas_worker.settings import WorkerSettings
from tests.processes import ROOT
from tests.servers import wait_until
from tests.system import System, redis_keys
from tests.worker_pool import WorkerPool

#: Duration in s.
SONG = 4


def test_job_that_fits_into_the_drain_time_is_finished(system: System, pool: WorkerPool) -> None:
    job_id = system.send(song_mp3(SONG))
    worker = pool.start(ENGINE_PACE="0.5", DRAIN_SECONDS="600")
    system.wait_for_progress(job_id)
    worker.terminate()
    assert system.status(job_id).state is JobState.DONE


def test_only_status_log_worker_name_history_and_what_expires_stay_in_redis(
    system: System, pool: WorkerPool
) -> None:
    job_id = system.send(song_mp3(SONG))
    pool.start_keeper(ready=False)
    worker = pool.start()
    system.wait_for_end(job_id)
    wait_until(lambda: "toWorkers:pieces" not in redis_keys(system))
    worker.terminate()
    assert list(pool.scratch.glob("msaas-worker-*")) == []
    expiring = {f"job:{job_id}", "toWorkers:jobs", "toWorkers:turns"}
    # Without a database the ends of jobs stay in Redis, up to a limit.
    assert redis_keys(system) == {"logging", "toWorkers:workers", "toWorkers:history"} | expiring
    assert all(system.redis.client().ttl(key) > 0 for key in expiring)


# Start, in this process


class Missing:
    """Implements `Separators`: no model is available."""

    def get(self, model: str) -> Separator:
        raise ModelUnavailable(f"Set MODEL_REPO to a folder with {model}.yaml.")


def start(
    folder: Path, separators: Separators | None = None, *, queue: InMemoryQueue | None = None, **settings: str
) -> threading.Event:
    """Start the tasks of a worker. The event ends them."""
    queue, stopping = queue or InMemoryQueue(), threading.Event()
    bootstrap(
        WorkerSettings(**settings),  # type: ignore[arg-type]
        Scratch(folder),
        stopping,
        name="worker",
        queue=queue,
        outbox=queue.outbox,
        song_store=SongStore(InMemoryStore()),
        separators=separators,
    )
    return stopping


def test_missing_default_model_is_a_warning_with_advice(tmp_path: Path) -> None:
    with capture_logs() as lines:
        start(tmp_path, Missing())
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "model_unavailable"),
        ("info", "worker_started"),
    ]
    assert "MODEL_REPO" in lines[0]["reason"]
    assert "htdemucs.yaml" in lines[0]["reason"]


def test_models_are_announced_before_the_worker_is_ready_and_when_they_change(tmp_path: Path) -> None:
    queue, tasks = InMemoryQueue(), ManualTasks()
    family = CountingFamily(missing={"htdemucs"}, downloadable={"htdemucs"})
    stopping = start(tmp_path, make_library(family, tasks, fallback="starter"), queue=queue)
    assert queue.fleet().stand_in("htdemucs") == "starter"
    tasks.run()
    wait_until(lambda: queue.fleet().stand_in("htdemucs") is None)
    stopping.set()


def test_models_are_announced_once_the_queue_is_back(tmp_path: Path) -> None:
    queue = InMemoryQueue()
    queue.away = True
    library = make_library(CountingFamily(missing={"htdemucs"}), ManualTasks(), fallback="starter")
    stopping = start(tmp_path, library, queue=queue)
    queue.away = False
    library.has_changed.set()
    wait_until(lambda: queue.fleet().stand_in("htdemucs") == "starter")
    stopping.set()


def test_default_model_that_is_being_downloaded_is_no_warning(tmp_path: Path) -> None:
    library = make_library(CountingFamily(missing={"htdemucs"}), ManualTasks())
    with capture_logs() as lines:
        start(tmp_path, library).set()
    assert [line["event"] for line in lines] == ["model_loading", "model_pending", "worker_started"]
    assert {line["log_level"] for line in lines} == {"info"}


def test_absent_device_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with capture_logs() as lines, pytest.raises(SystemExit, match="DEVICE=cuda"):
        start(tmp_path, device="cuda")
    assert [(line["log_level"], line["event"]) for line in lines if line["log_level"] != "info"] == [
        ("error", "worker_not_started")
    ]


# Command lines


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_script_stores_a_song_and_pushes_its_job(system: System, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(song_mp3(SONG))
    pushed = run(str(ROOT / "worker" / "send-request.py"), str(tmp_path / "song.mp3"), **system.environment)
    job_id = song_hash(song_mp3(SONG))
    assert pushed.stdout == f"{job_id} queued: song.mp3\n"
    assert system.queue.waiting() == [job_id]
    assert [found.key for found in system.song_store.songs()] == [f"{job_id}.mp3"]


@pytest.mark.process
def test_script_runs_a_worker() -> None:
    assert run(str(ROOT / "worker" / "worker-server.py"), "--help").stdout.startswith(
        "usage: python -m msaas_worker"
    )


@pytest.mark.process
def test_unknown_argument_exits_with_2() -> None:
    ended = run("-m", "msaas_worker", "--nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "unrecognized arguments: --nonsense" in ended.stderr


@pytest.mark.process
def test_version_is_printed() -> None:
    ended = run("-m", "msaas_worker", "--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("0.")
