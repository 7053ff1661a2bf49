"""Every worker sweeps now and then: jobs of workers that fell silent go back to the queue."""

import threading
from contextlib import suppress

from msaas import log_info
from msaas.errors import QueueUnavailable
from msaas.queue import JobQueue


def start_sweeping(queue: JobQueue, *, every_s: float, stopping: threading.Event) -> None:
    threading.Thread(target=_sweep, args=(queue, every_s, stopping), name="sweeper", daemon=True).start()


def _sweep(queue: JobQueue, every_s: float, stopping: threading.Event) -> None:
    # At once: while there was no worker nobody swept, and what waits for its time counts on the first one.
    while not stopping.is_set():
        with suppress(QueueUnavailable):
            for job_id in queue.reap():
                log_info("job_reaped", job=job_id)
        stopping.wait(every_s)
