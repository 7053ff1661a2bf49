"""Worker processes: start, stop, kill, and an outage of the queue."""

import subprocess
import sys
from pathlib import Path

import pytest
from worker.tests.songs import song_mp3

from msaas.jobs import JobState
from msaas.songs import song_hash
from tests.processes import ROOT
from tests.servers import redis_running, wait_until
from tests.system import System, open_system, redis_keys
from tests.worker_pool import WorkerPool, open_pool

#: Long enough for a test to act in the middle of its separation by the tiny model.
LONG = song_mp3(15)
QUICK = song_mp3(4)


def test_further_attempt_makes_the_same_bytes_and_sigterm_releases_a_job(
    system: System, real_pool: WorkerPool
) -> None:
    job_id = system.send(LONG)
    real_pool.start_keeper(ready=False)
    killed = real_pool.start()
    system.wait_for_progress(job_id)
    killed.kill()
    left = set(real_pool.scratch.glob("msaas-worker-*"))
    worker = real_pool.start()
    status = system.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    assert left
    assert not left & set(real_pool.scratch.iterdir())

    manifest = system.manifest(job_id)
    system.delete_results()
    system.send(LONG)
    wait_until(lambda: system.song_store.whole_manifest(job_id), timeout_s=240)
    assert system.manifest(job_id) == manifest

    other = system.send(LONG + bytes(1))
    system.wait_for_progress(other)
    assert worker.terminate() < 5
    status = system.status(other)
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)
    assert system.queue.waiting() == [other]


def test_job_that_fits_into_the_drain_time_is_finished(system: System, pool: WorkerPool) -> None:
    job_id = system.send(QUICK)
    worker = pool.start(ENGINE_PACE="0.5", DRAIN_SECONDS="600")
    system.wait_for_progress(job_id)
    worker.terminate()
    assert system.status(job_id).state is JobState.DONE


def test_job_released_five_times_is_finished(system: System, pool: WorkerPool) -> None:
    job_id = system.send(QUICK)
    system.redis.client().hset(f"job:{job_id}", "give_backs", 5)
    worker = pool.start(ENGINE_PACE="0.5")
    system.wait_for_progress(job_id)
    worker.terminate()
    assert system.status(job_id).state is JobState.DONE


def test_only_status_log_and_worker_name_stay_in_redis(system: System, pool: WorkerPool) -> None:
    job_id = system.send(QUICK)
    pool.start_keeper(ready=False)
    worker = pool.start()
    system.wait_for_end(job_id)
    wait_until(lambda: "toWorkers:pieces" not in redis_keys(system))
    worker.terminate()
    assert list(pool.scratch.glob("msaas-worker-*")) == []
    assert redis_keys(system) == {"logging", f"job:{job_id}", "toWorkers:workers"}


def test_nothing_is_stored_while_the_lease_cannot_be_verified(tmp_path: Path) -> None:
    with redis_running(tmp_path / "redis", aof=True) as redis:
        system = open_system(tmp_path, redis)
        with open_pool(system, tmp_path / "pool") as pool:
            job_id = system.send(QUICK)
            worker = pool.start(ENGINE_PACE="0.5")
            system.wait_for_progress(job_id)
            redis.kill()
            worker.wait_for_event("song_separated")
            assert list(system.song_store.results()) == []
            redis.start()
            assert system.wait_for_end(job_id).state is JobState.DONE


def test_missing_model_is_logged_and_fails_jobs_with_advice(system: System, real_pool: WorkerPool) -> None:
    job_id = system.send(QUICK)
    worker = real_pool.start(MODEL_REPO="")
    status = system.wait_for_end(job_id)
    [line] = worker.events("model_unavailable", level="warning")
    assert status.error
    assert status.error.code == "model_unavailable"
    for advice in ("MODEL_REPO", "htdemucs.yaml", "MODEL_FALLBACK=starter"):
        assert advice in line["reason"]
        assert advice in status.error.detail


def test_absent_device_ends_the_start(system: System, real_pool: WorkerPool) -> None:
    worker = real_pool.start(ready=False, DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    assert worker.exit_code() == 1
    assert worker.has_logged("worker_not_started", level="error")


def test_scripts_start_a_worker_and_push_a_job(system: System, real_pool: WorkerPool, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(QUICK)
    push = [sys.executable, str(ROOT / "worker" / "send-request.py"), str(tmp_path / "song.mp3")]
    pushed = subprocess.run(push, env=system.environment, capture_output=True, text=True, check=True)
    job_id = song_hash(QUICK)
    assert pushed.stdout == f"{job_id} queued: song.mp3\n"
    real_pool.start(str(ROOT / "worker" / "worker-server.py"), ready=False)
    assert system.wait_for_end(job_id).state is JobState.DONE


@pytest.mark.process
@pytest.mark.parametrize("service", ["msaas_worker", "msaas_keeper"])
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "usage: python -m msaas_"),
        (["--version"], 0, "0."),
        (["--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (["nonsense"], 2, "unrecognized arguments: nonsense"),
    ],
    ids=["help", "version", "unknown option", "unknown argument"],
)
def test_command_line_never_starts_the_service(
    service: str, arguments: list[str], code: int, text: str
) -> None:
    command = [sys.executable, "-m", service, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == code
    assert text in (run.stderr if code else run.stdout)


@pytest.mark.process
@pytest.mark.parametrize(
    ("service", "setting"), [("msaas_worker", "PRECISION"), ("msaas_keeper", "RETENTION_HOURS")]
)
def test_invalid_setting_is_named_at_the_start(service: str, setting: str) -> None:
    environment = {setting: "roughly", "PATH": ""}
    command = [sys.executable, "-m", service]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert f"{setting}: " in run.stderr
    assert "Traceback" not in run.stderr
