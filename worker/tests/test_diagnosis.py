"""An error inside the network can be located from the log of the worker."""

from worker.tests.songs import song_mp3

from msaas.jobs import JobState
from tests.system import System
from tests.worker_pool import WorkerPool

FAILING_WORKER = ("-m", "worker.tests.failing_worker")


def test_failing_layer_leaves_one_error_line_with_traceback_and_context(
    system: System, pool: WorkerPool
) -> None:
    job_id = system.send(song_mp3(1))
    worker = pool.start(*FAILING_WORKER, MAX_ATTEMPTS="1")
    status = system.wait_for_end(job_id)
    assert status.error
    assert (status.state, status.error.code) == (JobState.FAILED, "separation_failed")
    worker.wait_for_event("job_failed")
    [line] = worker.events(level="error")
    assert (line["event"], line["job_id"]) == ("job_failed", job_id)
    assert (line["model"], line["device"]) == ("htdemucs", "cpu")
    assert "RuntimeError: Given groups=1, weight of size" in line["reason"]
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert "demucs/hdemucs.py" in line["exception"]
    assert not worker.events(level="warning")
    # Nothing else is written beside the lines of the log.
    assert all(text.startswith("{") for text in worker.output().splitlines())
