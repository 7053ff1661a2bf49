"""Times and limits of a worker without a store, in one value that tests replace."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SourcePolicy:
    """Times are seconds."""

    #: Longest wait for a song, and interval of the heartbeat without one.
    take_s: float = 1.0
    #: Pause while the broker is unreachable.
    queue_retry_s: float = 0.5
    #: The model is looked for again after this pause. No song is taken meanwhile.
    model_delay_s: float = 5.0
    #: A model that was not found is looked for again, in the background, after this pause.
    model_retry_s: float = 300.0
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
    #: A song that was given back this often is finished before the worker stops.
    max_releases: int = 5
    #: On SIGTERM, time for the current segment and for the message that gives the song back.
    unwind_s: float = 3.0
