"""A song is stored before its job is announced, and a song that is done is not done again."""

from dataclasses import dataclass
from typing import BinaryIO

from msaas.errors import ObjectNotFound, QueueFull
from msaas.jobs import Callback, Job
from msaas.queue import JobQueue, Outbox
from msaas.redis_log import log_info
from msaas.songs import song_hash_of
from msaas.tracks import Tracks
from msaas_rest.separation.mp3_frames import check_length
from msaas_rest.separation.options import Options


@dataclass(frozen=True)
class Submission:
    """`song` is an open file of `size_bytes` bytes."""

    song: BinaryIO
    size_bytes: int
    options: Options
    callback: Callback | None = None


def check_room(queue: JobQueue, *, max_queued: int | None) -> None:
    """Raises `QueueFull` when enough jobs wait, `QueueUnavailable` when nobody can say."""
    depth = queue.depth()
    waiting = depth.waiting + depth.delayed
    if max_queued is not None and waiting >= max_queued:
        raise QueueFull(f"{waiting} songs wait.")


@dataclass(frozen=True)
class Separation:
    """`tracks` answers soon or not at all, `uploads` is given the time that a whole song takes."""

    queue: JobQueue
    outbox: Outbox
    tracks: Tracks
    uploads: Tracks
    default_model: str
    max_duration_s: float

    def request(self, submission: Submission) -> str:
        """Return the id of the job.

        Raises:
            NotAnMp3, SongTooLong: nothing was stored.
            StoreUnavailable, QueueUnavailable: nothing was enqueued.
        """
        seconds = check_length(submission.song, max_s=self.max_duration_s)
        songhash = song_hash_of(submission.song)
        job_id = submission.options.job_id(songhash)
        log_info("song_received", id=job_id, size_bytes=submission.size_bytes, seconds=round(seconds, 1))
        if self._is_done(job_id, submission.options):
            self._tell(submission.callback, job_id)
        else:
            self._store(songhash, submission)
            state = self.queue.enqueue(Job(job_id, submission.options.model, submission.callback))
            log_info("job_enqueued", id=job_id, state=state.value)
        return job_id

    def _is_done(self, job_id: str, options: Options) -> bool:
        """Another model's result, for example of a fallback, is none."""
        manifest = self.tracks.whole_manifest(job_id)
        model = options.model or self.default_model
        return manifest is not None and manifest.answers(model=model, stems=options.stems(self.default_model))

    def _tell(self, callback: Callback | None, job_id: str) -> None:
        log_info("song_done_before", id=job_id)
        if callback:
            self.outbox.add(callback, job_id=job_id)

    def _store(self, songhash: str, submission: Submission) -> None:
        try:
            self._put(songhash, submission)
        except ObjectNotFound:
            # The bucket is missing: the store is new, or somebody removed it.
            self.uploads.prepare()
            self._put(songhash, submission)
        log_info("song_stored", song=songhash)

    def _put(self, songhash: str, submission: Submission) -> None:
        submission.song.seek(0)
        self.uploads.put_song(songhash, submission.song, size_bytes=submission.size_bytes)
