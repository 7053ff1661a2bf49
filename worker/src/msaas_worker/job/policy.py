"""Times and limits of a worker, in one value that tests replace."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkerPolicy:
    """Times are seconds."""

    #: Longest wait for an entry, and interval of the heartbeat without a job.
    take_s: float = 1.0
    #: Pause while the queue is unreachable.
    queue_retry_s: float = 0.5
    #: Backoff of jobs, and of this worker, while the store is unreachable.
    first_store_delay_s: float = 1.0
    max_store_delay_s: float = 60.0
    #: A job with options of a newer version is offered again after this pause, and fails after `hold_s`.
    hold_delay_s: float = 30.0
    hold_s: float = 3600.0
    #: A job whose model is being downloaded is offered again after this pause.
    model_delay_s: float = 5.0
    #: Clients that follow the progress see it this often, and a cancellation is learned within this time.
    publish_s: float = 0.5
    #: A job without progress over this many renewals, five leases, hangs. Renewals are counted, not seconds:
    #: a process that was stopped for a while does not hang.
    stall_renewals: int = 30
    #: A job that was given back this often is finished before the worker stops.
    max_releases: int = 5
    #: On SIGTERM, time for the current segment: with the timeouts of the queue it stays below 5 s.
    unwind_s: float = 2.0
    #: A model that was not found is looked for again, in the background, after this pause.
    model_retry_s: float = 300.0
