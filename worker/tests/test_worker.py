"""A worker process among faults: killed, stopped, told to leave, its queue away."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from worker.tests.service import Service
from worker.tests.songs import song_mp3

from msaas.jobs import Job, JobState
from msaas.manifest import Manifest
from msaas.songs import song_hash
from msaas.storage.song_store import SongStore
from tests.servers import S3Access, redis_running, wait_until

#: Long enough to be met in the middle.
LONG = song_mp3(40)


@pytest.fixture
def undisturbed(service: Service) -> Manifest:
    """The result of a run in which nothing happens; then everything is as before."""
    worker = service.start_worker()
    job_id = service.enqueue(LONG)
    assert service.wait_for_end(job_id).state is JobState.DONE
    assert worker.terminate(timeout_s=5) == 0
    manifest = service.manifest(job_id)
    service.forget_results()
    return manifest


def test_a_killed_workers_job_is_finished_by_another_with_the_same_bytes(
    undisturbed: Manifest, service: Service
) -> None:
    first = service.start_worker()
    job_id = service.enqueue(LONG)
    service.wait_for_the_middle(job_id)
    first.kill()
    left = set(service.scratch.iterdir())
    second = service.start_worker()
    status = service.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    assert service.manifest(job_id) == undisturbed
    assert second.has_said("job_reaped")
    assert left
    assert not left & set(service.scratch.iterdir())


def test_a_stopped_worker_that_comes_back_changes_nothing(undisturbed: Manifest, service: Service) -> None:
    zombie = service.start_worker()
    job_id = service.enqueue(LONG)
    service.wait_for_the_middle(job_id)
    zombie.signal(signal.SIGSTOP)
    service.start_worker()
    assert service.wait_for_end(job_id).state is JobState.DONE
    zombie.signal(signal.SIGCONT)
    zombie.wait_until_said("lease_lost")
    assert not zombie.has_said("stem_stored")
    assert service.manifest(job_id) == undisturbed


def test_a_terminated_worker_gives_its_job_back_within_5_s(service: Service) -> None:
    worker = service.start_worker()
    job_id = service.enqueue(LONG)
    service.wait_for_the_middle(job_id)
    assert worker.terminate(timeout_s=5) == 0
    status = service.status(job_id)
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)
    assert service.queue.waiting() == [job_id]
    assert list(service.scratch.iterdir()) == []


def test_a_terminated_worker_finishes_a_job_that_needs_no_longer_than_it_may(service: Service) -> None:
    worker = service.start_worker(DRAIN_SECONDS="600")
    job_id = service.enqueue(LONG)
    service.wait_for_the_middle(job_id)
    assert worker.terminate(timeout_s=240) == 0
    assert service.status(job_id).state is JobState.DONE


def test_a_job_given_back_five_times_is_held_to_its_end(service: Service) -> None:
    job_id = service.enqueue(LONG)
    service.redis.hset(f"job:{job_id}", "give_backs", 5)
    worker = service.start_worker()
    service.wait_for_the_middle(job_id)
    assert worker.terminate(timeout_s=240) == 0
    assert service.status(job_id).state is JobState.DONE


def test_a_worker_whose_scratch_was_removed_leaves_its_job_to_another(service: Service) -> None:
    worker = service.start_worker()
    worker.wait_until_said("worker_started")
    shutil.rmtree(service.scratch)
    service.scratch.mkdir()
    job_id = service.enqueue(song_mp3(1))
    assert worker.exit_code(timeout_s=20) == 1
    assert service.queue.waiting() == [job_id]
    service.start_worker()
    status = service.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 1)


def test_nothing_is_left_in_redis_but_the_state_and_the_name(service: Service) -> None:
    worker = service.start_worker()
    job_id = service.enqueue(song_mp3(1))
    service.wait_for_end(job_id)
    wait_until(lambda: not service.redis.exists("toWorkers:pieces"))
    assert worker.terminate(timeout_s=5) == 0
    keys = {key.decode() for key in service.redis.scan_iter()}
    assert keys == {"logging", f"job:{job_id}", "toWorkers:workers"}


def test_a_worker_outlives_its_queue(tmp_path: Path, model_repo: Path) -> None:
    with redis_running(tmp_path / "redis", aof=True) as mortal:
        service = Service(mortal, tmp_path, model_repo)
        worker = service.start_worker()
        worker.wait_until_said("worker_started")
        mortal.kill()
        worker.wait_until_said("queue_away")
        mortal.start()
        assert service.wait_for_end(service.enqueue(song_mp3(1)), timeout_s=20).state is JobState.DONE
        service.close()


def test_nothing_is_stored_while_the_queue_cannot_confirm_the_lease(tmp_path: Path, model_repo: Path) -> None:
    with redis_running(tmp_path / "redis", aof=True) as mortal:
        service = Service(mortal, tmp_path, model_repo)
        worker = service.start_worker()
        job_id = service.enqueue(LONG)
        service.wait_for_the_middle(job_id)
        mortal.kill()
        worker.wait_until_said("song_separated")
        assert list(service.song_store.results()) == []
        mortal.start()
        assert service.wait_for_end(job_id).state is JobState.DONE
        service.close()


def test_a_worker_without_its_model_says_how_to_get_it_and_its_jobs_too(service: Service) -> None:
    worker = service.start_worker(MODEL_REPO="")
    status = service.wait_for_end(service.enqueue(song_mp3(1)))
    first = worker.events()[0]
    assert first["event"] == "model_unavailable"
    assert status.error
    assert status.error.code == "model_unavailable"
    for advice in ("MODEL_REPO", "htdemucs.yaml", "MODEL_FALLBACK=starter"):
        assert advice in first["reason"]
        assert advice in status.error.detail


def test_a_device_that_is_absent_is_an_error_at_the_start(service: Service) -> None:
    worker = service.start_worker(DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    assert worker.exit_code() == 1
    assert worker.has_said("worker_cannot_start")


def test_a_malformed_setting_is_named(service: Service) -> None:
    worker = service.start_worker(PRECISION="roughly")
    assert worker.exit_code() == 1
    assert worker.output().startswith("A setting is wrong. PRECISION")


def test_the_stems_go_to_an_s3_store_too(service: Service, s3_server: S3Access) -> None:
    service.song_store = SongStore(s3_server.store())
    worker = service.start_worker(STORE_DIR="", **s3_server.environment)
    worker.wait_until_said("worker_started")
    job_id = service.enqueue(song_mp3(1))
    assert service.wait_for_end(job_id).state is JobState.DONE
    assert len({file.sha256 for file in service.manifest(job_id).stems.values()}) == 4


def test_the_scripts_people_type_start_a_worker_and_push_a_job(service: Service, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(song_mp3(1))
    told = service.run("send-request.py", str(tmp_path / "song.mp3"))
    job_id = song_hash(song_mp3(1))
    assert told == f"{job_id} queued: song.mp3\n"
    service.start_worker(script="worker-server.py")
    assert service.wait_for_end(job_id).state is JobState.DONE


def test_redis_is_reached_as_kubernetes_injects_it(service: Service) -> None:
    port = service.redis.connection_pool.connection_kwargs["port"]
    service.start_worker(REDIS_PORT=f"tcp://127.0.0.1:{port}")
    service.queue.enqueue(Job(job_id="1" * 64))
    assert service.wait_for_end("1" * 64).state is JobState.FAILED


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="speaks of glibc")
def test_all_threads_of_a_worker_share_one_heap(service: Service) -> None:
    """Memory freed in one heap cannot be had from another; the log's thread once kept one of 58 MB."""
    worker = service.start_worker()
    assert service.wait_for_end(service.enqueue(song_mp3(1))).state is JobState.DONE
    assert worker.further_heaps() == []
