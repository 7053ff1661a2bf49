"""The pieces of an attempt that is over are deleted, whoever made them and however it ended."""

import threading

from msaas import log_info
from msaas.errors import MsaasError
from msaas.queue import JobQueue
from msaas.tracks import Tracks


def tidy(queue: JobQueue, tracks: Tracks) -> None:
    """Raises `Unavailable`; then what is left is found again."""
    for pieces in queue.stale_pieces():
        # One more than was told of: its worker may have ended in between.
        for number in range(1, pieces.count + 2):
            tracks.delete_piece(pieces, number=number)
        queue.forget_pieces(pieces)


def start_tidying(
    queue: JobQueue, tracks: Tracks, *, every_s: float, job_ended: threading.Event, stopping: threading.Event
) -> None:
    """Tidy now, after each job of this worker, and now and then what others left."""
    args = (queue, tracks, every_s, job_ended, stopping)
    threading.Thread(target=_tidy, args=args, name="tidying", daemon=True).start()


def _tidy(
    queue: JobQueue, tracks: Tracks, every_s: float, job_ended: threading.Event, stopping: threading.Event
) -> None:
    while not stopping.is_set():
        try:
            tidy(queue, tracks)
        except MsaasError as error:
            log_info("tidying_waits", reason=str(error))
        job_ended.wait(every_s)
        job_ended.clear()
