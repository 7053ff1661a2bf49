"""Times and limits of a worker without a store, in one value that tests replace."""

from dataclasses import dataclass

from msaas_worker.supervision.policy import LoopPolicy


@dataclass(frozen=True, kw_only=True)
class SourcePolicy(LoopPolicy):
    """Times are seconds."""

    #: Interval of the look at the delivery during the work.
    look_s: float = 0.5
    #: A hold that failed is tried again after this pause, at most a fifth of its interval.
    hold_retry_s: float = 30.0
    #: A song without progress for this time hangs.
    stall_s: float = 300.0
    #: Backoff of uploads.
    first_upload_delay_s: float = 1.0
    max_upload_delay_s: float = 60.0
    #: The token of this worker is wrong: each try is an error line.
    rejected_delay_s: float = 30.0
    #: An upload is given up after this time. The song is separated again later.
    upload_patience_s: float = 3600.0
    connect_s: float = 30.0
    #: The backend reads and stores the stems before it answers.
    answer_s: float = 300.0
    #: The broker gets the message that gives the song back within this time as well.
    unwind_s: float = 3.0
