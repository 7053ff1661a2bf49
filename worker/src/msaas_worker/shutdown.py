"""How a worker leaves: a job that is almost done is finished, any other given back."""

import logging
import os
import sys
import threading
from contextlib import suppress

from msaas import log_info
from msaas.errors import LeaseLost, QueueUnavailable
from msaas_worker.consumer import Loop
from msaas_worker.lease import Lease

#: The current segment may end by itself; with the queue's own timeouts this stays below 5 s.
_UNWIND_S = 2.0


def wind_down(loop: Loop, thread: threading.Thread, *, drain_s: float) -> None:
    """Let the loop end by itself, or see to it that nothing is lost when its process ends."""
    lease = loop.lease
    if lease and _is_worth_finishing(lease, drain_s):
        log_info("worker_draining", job=lease.claim.job.songhash)
        # An estimate may be wrong, and the queue may be away: the time that was granted is all there is.
        thread.join(None if lease.is_held() else drain_s)
    if loop.lease:
        _give_back(loop.lease)
    thread.join(timeout=_UNWIND_S)


def _is_worth_finishing(lease: Lease, drain_s: float) -> bool:
    return lease.is_held() or lease.eta_s() <= drain_s


def _give_back(lease: Lease) -> None:
    with suppress(LeaseLost, QueueUnavailable):  # Without a queue the reaper finds the job.
        lease.give_back()
        log_info("job_given_back", job=lease.claim.job.songhash, reason="the worker leaves")


def end_process(exit_code: int) -> None:
    """End at once: a thread may still be at work, and taking torch down takes seconds on a busy node."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(exit_code)
