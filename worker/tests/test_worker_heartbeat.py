"""The heartbeat file of a worker process."""

import signal
import time

from worker.tests.service import Service

from msaas.heartbeat import EVERY_S
from tests.servers import wait_until


def test_worker_writes_its_heartbeat_until_it_is_stopped(service: Service) -> None:
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
