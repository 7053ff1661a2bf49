"""The heartbeat is what Kubernetes believes of a worker."""

import json
import signal
import time
from pathlib import Path

from worker.tests.service import Service

from msaas_worker.heartbeat import EVERY_S, Heartbeat
from tests.servers import wait_until


def test_it_says_which_job_and_how_far(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "heartbeat")(job="abc", progress=0.25)
    assert json.loads((tmp_path / "heartbeat").read_text()) == {"job": "abc", "progress": 0.25}


def test_many_signs_of_life_are_written_once_a_while(tmp_path: Path) -> None:
    beat = Heartbeat(tmp_path / "heartbeat", every_s=60)
    beat(progress=0.1)
    beat(progress=0.2)
    assert json.loads((tmp_path / "heartbeat").read_text()) == {"progress": 0.1}


def test_a_disk_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "gone" / "heartbeat")(job="abc")
    assert not (tmp_path / "gone").exists()


def test_a_living_worker_beats_and_a_stopped_one_does_not(service: Service) -> None:
    worker = service.start_worker()
    worker.wait_until_said("worker_started")
    wait_until(lambda: list(service.scratch.glob("msaas-worker-*/heartbeat")))
    (file,) = service.scratch.glob("msaas-worker-*/heartbeat")
    first = file.stat().st_mtime_ns
    wait_until(lambda: file.stat().st_mtime_ns > first)
    worker.signal(signal.SIGSTOP)
    last = file.stat().st_mtime_ns
    time.sleep(3 * EVERY_S)
    assert file.stat().st_mtime_ns == last
