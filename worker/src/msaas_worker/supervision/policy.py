"""Times and limits that do not depend on the source of the work."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoopPolicy:
    """Times are seconds."""

    #: Longest wait for work, and interval of the heartbeat without any.
    take_s: float = 1.0
    #: Pause while the queue is unreachable.
    queue_retry_s: float = 0.5
    #: Work whose model is being downloaded is looked at again after this pause.
    model_delay_s: float = 5.0
    #: A model that was not found is looked for again, in the background, after this pause.
    model_retry_s: float = 300.0
    #: Work that was given back this often is finished before the worker stops.
    max_releases: int = 5
    #: On SIGTERM, time for the current segment: with the timeouts of the queue it stays below 5 s.
    unwind_s: float = 2.0
