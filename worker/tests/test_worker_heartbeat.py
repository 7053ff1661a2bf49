"""The heartbeat file of a worker process."""

import signal
import time

from msaas.heartbeat import EVERY_S
from tests.servers import wait_until
from tests.worker_pool import WorkerPool


def test_worker_writes_its_heartbeat_until_it_is_stopped(pool: WorkerPool) -> None:
    worker = pool.start()
    wait_until(lambda: list(pool.scratch.glob("msaas-worker-*/heartbeat")))
    (file,) = pool.scratch.glob("msaas-worker-*/heartbeat")
    first = file.stat().st_mtime_ns
    wait_until(lambda: file.stat().st_mtime_ns > first)
    worker.signal(signal.SIGSTOP)
    wait_until(worker.is_stopped)
    last = file.stat().st_mtime_ns
    time.sleep(1.5 * EVERY_S)
    assert file.stat().st_mtime_ns == last
