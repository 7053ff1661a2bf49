"""How a worker leaves: a job that is almost done is finished, any other given back."""

import os
import sys
import threading
import time
from contextlib import suppress

from msaas import log_info
from msaas.errors import LeaseLost, QueueUnavailable
from msaas_worker.consumer import Loop
from msaas_worker.lease import Lease

#: The current segment may end by itself; with the queue's own timeouts this stays below 5 s.
_UNWIND_S = 2.0


def wind_down(loop: Loop, thread: threading.Thread, *, drain_s: float) -> bool:
    """Return whether the loop has ended; else only the end of the process can end it."""
    lease = loop.lease
    if lease and _is_worth_finishing(lease, drain_s):
        log_info("worker_draining", job=lease.claim.job.songhash)
        thread.join()
    elif lease:
        _give_back(lease)
    thread.join(timeout=_UNWIND_S)
    return not thread.is_alive()


def _is_worth_finishing(lease: Lease, drain_s: float) -> bool:
    return lease.is_held() or lease.eta_s() <= drain_s


def _give_back(lease: Lease) -> None:
    with suppress(LeaseLost, QueueUnavailable):  # Without a queue the reaper finds the job.
        lease.give_back()
        log_info("job_given_back", job=lease.claim.job.songhash, reason="the worker leaves")


def exit_at_once() -> None:
    """End the process though a thread of it is still at work."""
    time.sleep(0.1)  # The last log lines are on their way.
    sys.stdout.flush()
    os._exit(0)
