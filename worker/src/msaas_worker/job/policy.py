"""Times and limits of a worker of the job queue, in one value that tests replace."""

from dataclasses import dataclass

from msaas_worker.supervision.policy import LoopPolicy


@dataclass(frozen=True, kw_only=True)
class WorkerPolicy(LoopPolicy):
    """Times are seconds."""

    #: Backoff of jobs, and of this worker, while the store is unreachable.
    first_store_delay_s: float = 1.0
    max_store_delay_s: float = 60.0
    #: A job with options of a newer version is offered again after this pause, and fails after `hold_s`.
    hold_delay_s: float = 30.0
    hold_s: float = 3600.0
    #: Clients that follow the progress see it this often, and a cancellation is learned within this time.
    publish_s: float = 0.5
    #: A job without progress over this many renewals, five leases, hangs. Renewals are counted, not seconds:
    #: a process that was stopped for a while does not hang.
    stall_renewals: int = 30
