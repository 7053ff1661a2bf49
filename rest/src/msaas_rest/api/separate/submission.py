"""Submission of a song. It is stored before its job is announced. A finished song is not separated again."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from msaas.containers import Container, Decoder, container_of
from msaas.errors import DecoderMissing, FormatUnavailable, ObjectNotFound, TooBusy
from msaas.formats import FORMATS
from msaas.jobs import Callback, Job, JobState
from msaas.logs import bind_log, get_logger
from msaas.queue.abilities import FFMPEG, Fleet
from msaas.queue.outbox import Outbox
from msaas.queue.protocol import ANONYMOUS, JobQueue, Request, queue_full
from msaas.queue.song_registry import SongRegistry, Visibility
from msaas.recipe import Recipe
from msaas.songs import song_hash_of
from msaas.storage.song_store import SongStore
from msaas_rest.api.separate.song_check import CheckedSong, check_song

#: Interval of the question whether the song is deleted.
_LOOK_S = 0.05

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request without its song."""

    recipe: Recipe = Recipe()
    callback: Callback | None = None
    #: Names the request for its cancellation, None for a new id.
    request_id: str | None = None
    #: Stands in the log lines of the job. Clients may send the same one several times.
    trace_id: str | None = None
    #: The client, as the queue knows it, and the name of its key.
    owner: str = ANONYMOUS
    key_name: str = ""
    #: A private song stays unknown to the machine API.
    visibility: Visibility = Visibility.PUBLIC


@dataclass(frozen=True, kw_only=True)
class Submission(Order):
    """A request with its song, an open file of `size_bytes` bytes."""

    song: BinaryIO
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class HashSubmission(Order):
    """A request for a song that is in the store. The caller may see it."""

    song_hash: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Facts about a submission that can be accepted."""

    song_hash: str
    song: CheckedSong
    fleet: Fleet = Fleet(())


@dataclass(frozen=True)
class Accepted:
    """`request_id` names this request for its cancellation."""

    job_id: str
    request_id: str


def check_room(queue: JobQueue, *, max_queued: int | None) -> None:
    """Refuse a song that could not be queued, before its upload. `Submitter.submit` checks again.

    Raises:
        QueueFull: too many jobs wait.
        QueueUnavailable: the queue does not answer.
    """
    depth = queue.depth()
    waiting = depth.waiting + depth.delayed
    if max_queued is not None and waiting >= max_queued:
        raise queue_full(waiting)


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """`song_store` answers soon or fails, `uploads` has the time that a whole song takes.

    With `max_queued`, a song that finds this many others is stored, but not enqueued. It stays in the store
    for its next request, or for the retention.
    """

    queue: JobQueue
    registry: SongRegistry
    outbox: Outbox
    song_store: SongStore
    uploads: SongStore
    default_model: str
    max_duration_s: float
    max_queued: int | None = None
    #: Longest wait for retention, which deletes an earlier copy of the song or of a result.
    deletion_wait_s: float = 2.0

    def submit(self, submission: Submission) -> Accepted:
        """Return the id of the job, and that of the request.

        Raises:
            NotAudio, SongTooLong, DecoderMissing, FormatUnavailable: nothing was stored.
            StoreUnavailable, QueueUnavailable, QueueFull, TooBusy: nothing was enqueued.
        """
        return self.accept(submission, self.check(submission))

    def check(self, submission: Submission) -> Checked:
        """Raise the errors of `submit` that the song and its recipe cause. Nothing is stored."""
        checked = self.check_song(submission)
        fleet = self.queue.fleet()
        _check_programs(checked.song.container, submission.recipe, fleet)
        return replace(checked, fleet=fleet)

    def check_song(self, submission: Submission) -> Checked:
        """Raise `NotAudio` or `SongTooLong` if any worker would refuse the song."""
        song = check_song(submission.song, max_s=self.max_duration_s)
        return Checked(song_hash=song_hash_of(submission.song), song=song)

    def accept(self, submission: Submission, checked: Checked) -> Accepted:
        """Store the song and enqueue its job.

        Raises:
            StoreUnavailable, QueueUnavailable, QueueFull, TooBusy: nothing was enqueued.
        """
        song_hash, song = checked.song_hash, checked.song
        accepted = _accept(song_hash, submission)
        log_song(submission, checked)
        self.request(song_hash, submission)
        if not self._reuse(accepted, submission, checked.fleet):
            self.store(song_hash, submission, song.container)
            self._enqueue(accepted, submission, duration_s=song.seconds)
        return accepted

    def submit_hash(self, submission: HashSubmission) -> Accepted:
        """Return the same for a song in the store. Its bytes are not read: the worker compares their hash.

        Raises:
            SongMissing: the store has no such song.
            DecoderMissing, FormatUnavailable, StoreUnavailable, QueueUnavailable, QueueFull, TooBusy: nothing
                was enqueued.
        """
        song_hash = submission.song_hash
        accepted = _accept(song_hash, submission)
        self.song_store.find_song(song_hash)
        self.request(song_hash, submission)
        # Until the line before, retention may have deleted it.
        song = self.song_store.find_song(song_hash)
        fleet = self.queue.fleet()
        _check_programs(container_of(song.key), submission.recipe, fleet)
        log.info("song_found", size_bytes=song.size_bytes)
        if not self._reuse(accepted, submission, fleet):
            self._enqueue(accepted, submission, duration_s=None)
        return accepted

    def _reuse(self, accepted: Accepted, order: Order, fleet: Fleet) -> bool:
        """Return whether the result is there."""
        job_id, recipe = accepted.job_id, order.recipe
        if not self.song_store.reuse(job_id, recipe, models=self._models(recipe, fleet)):
            return False
        log.info("song_already_separated")
        self._answer_at_once(job_id, order)
        return True

    def request(self, song_hash: str, order: Order) -> None:
        """Record the request: from here on retention spares the song and its results.

        Raises:
            TooBusy: the song is being deleted.
            StoreUnavailable, QueueFull, QueueUnavailable: the request is not recorded.
        """
        until = time.monotonic() + self.deletion_wait_s
        is_stored = order.visibility is Visibility.PRIVATE and self.song_store.knows(song_hash)
        while not self.registry.request_song(
            song_hash, owner=order.key_name, visibility=order.visibility, is_stored=is_stored
        ):
            if time.monotonic() > until:
                raise TooBusy(f"An old copy of song {song_hash} is being deleted. Try again in 5 s.")
            time.sleep(_LOOK_S)
            is_stored = is_stored and self.song_store.knows(song_hash)

    def _answer_at_once(self, job_id: str, order: Order) -> None:
        if order.callback:
            self.outbox.add(order.callback, job_id=job_id)
        # A later attempt may have failed. The result is there, and the status follows it.
        for state in (JobState.FAILED, JobState.CANCELLED):
            self.queue.forget(job_id, state=state)
        self.queue.note_request(job_id)

    def _models(self, recipe: Recipe, fleet: Fleet) -> Iterator[str]:
        """Yield the requested model, and the model that workers run in its place."""
        model = recipe.model or self.default_model
        yield model
        if stand_in := fleet.stand_in(model):
            yield stand_in

    def store(self, song_hash: str, submission: Submission, container: Container) -> None:
        """Store the song. Raises `StoreUnavailable`."""
        try:
            self._put(song_hash, submission, container)
        except ObjectNotFound:
            # The bucket is missing: the store is new or was emptied.
            self.uploads.prepare()
            self._put(song_hash, submission, container)
        log.info("song_stored", song_hash=song_hash)

    def _put(self, song_hash: str, submission: Submission, container: Container) -> None:
        submission.song.seek(0)
        self.uploads.put_song(
            song_hash,
            submission.song,
            size_bytes=submission.size_bytes,
            extension=container.extension,
        )

    def _enqueue(self, accepted: Accepted, order: Order, *, duration_s: float | None) -> None:
        job = Job.of(accepted.job_id, order.recipe, callback=order.callback, request_id=order.trace_id)
        request = Request(id=accepted.request_id, owner=order.owner)
        state = self.queue.enqueue(job, request=request, duration_s=duration_s, max_waiting=self.max_queued)
        log.info("job_enqueued", state=state.value)


def _accept(song_hash: str, order: Order) -> Accepted:
    """Return the ids of the job and of the request, and log the id of the job from now on."""
    accepted = Accepted(order.recipe.job_id(song_hash), order.request_id or secrets.token_hex(8))
    bind_log(job_id=accepted.job_id)
    return accepted


def _check_programs(container: Container, recipe: Recipe, fleet: Fleet) -> None:
    """Refuse what needs a program that no worker has."""
    if not fleet.lacks(FFMPEG):
        return
    if container.decoder is Decoder.FFMPEG:
        raise DecoderMissing(
            f"No worker reads {container.name} files: ffmpeg is not installed. Send a FLAC or an MP3."
        )
    if FORMATS[recipe.format].needs_ffmpeg:
        raise FormatUnavailable(
            f"No worker writes {recipe.format}: ffmpeg is not installed. Ask for flac or mp3."
        )


def log_song(submission: Submission, checked: Checked) -> None:
    seconds = checked.song.seconds
    log.info(
        "song_received",
        size_bytes=submission.size_bytes,
        kind=checked.song.container.name,
        duration_s=None if seconds is None else round(seconds, 1),
    )
