"""Every worker sweeps now and then: jobs of workers that fell silent go back to the queue."""

import threading

from msaas import log_info
from msaas.errors import QueueUnavailable
from msaas.queue import JobQueue


def start_sweeping(queue: JobQueue, *, every_s: float, stopping: threading.Event) -> None:
    threading.Thread(target=_sweep, args=(queue, every_s, stopping), name="sweeper", daemon=True).start()


def _sweep(queue: JobQueue, every_s: float, stopping: threading.Event) -> None:
    while not stopping.wait(every_s):
        try:
            for job_id in queue.reap():
                log_info("job_reaped", job=job_id)
        except QueueUnavailable:
            continue
