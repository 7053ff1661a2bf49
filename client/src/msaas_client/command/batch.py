"""Separates songs on a server, some at a time. An interruption cancels the jobs that have not ended."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msaas_client.client import Client
from msaas_client.command.exits import ExitCode, exit_code_of, is_final
from msaas_client.command.output import Bar, Output
from msaas_client.command.songs import Naming, Song
from msaas_client.errors import ClientError, RequestFailed, Unreachable
from msaas_client.values import Job, Options, State, Submission

#: After an interruption, the time for the cancellation of a job and for the threads to end.
_CANCEL_S, _END_S = 5.0, 20.0
#: Codes of jobs that need no cancellation.
_GONE = {"job_ended", "job_not_found", "not_your_request"}


class Interrupted(Exception):
    """The user ended the call."""


class Batch:
    """The songs of one call.

    Each thread sends a song, waits for its job and fetches the stems, then takes the next song: memory does
    not grow with their number.
    """

    def __init__(self, client: Client, *, options: Options, naming: Naming, output: Output) -> None:
        self._client = client
        self._options = options
        self._naming = naming
        self._output = output
        self._lock = threading.Lock()
        self._started: dict[str, Submission] = {}
        #: Songs that were sent as a whole, without a reply so far: they may have jobs.
        self._unanswered: set[Song] = set()
        self._cancelled = 0
        #: Reasons by the ids of jobs that an interruption could not cancel.
        self._left: dict[str, str] = {}
        self._is_away = False
        self._codes: set[ExitCode] = set()
        self._is_ending = threading.Event()
        #: Counts the threads that have ended.
        self._ended = threading.Semaphore(0)

    def run(self, songs: Sequence[Song], *, at_once: int, waits: bool) -> ExitCode:
        """Separate all songs, `at_once` at a time. Without `waits` they are sent only."""
        queue = iter(songs)
        threads = [
            # An interrupted call ends although a thread may still wait for the server.
            threading.Thread(target=self._work, args=(queue, waits), daemon=True)
            for _ in range(min(at_once, len(songs)))
        ]
        try:
            for thread in threads:
                thread.start()
            # Python 3.11 takes a thread for ended if an interruption ends its `join`.
            for _ in threads:
                self._ended.acquire()
        except KeyboardInterrupt:
            self._interrupt(threads)
            return ExitCode.INTERRUPTED
        self._output.print_skipped(list(queue))
        return max(self._codes, default=ExitCode.DONE)

    def _work(self, songs: Iterator[Song], waits: bool) -> None:
        try:
            while (song := self._next(songs)) is not None:
                self._separate(song, waits=waits)
        except Interrupted:
            pass
        finally:
            self._ended.release()

    def _next(self, songs: Iterator[Song]) -> Song | None:
        with self._lock:
            return None if self._is_ending.is_set() else next(songs, None)

    def _note_failure(self, song: Song, error: Exception, *, job_id: str | None) -> None:
        if self._is_interrupted:
            return
        self._codes.add(exit_code_of(error))
        if isinstance(error, BrokenPipeError) or (isinstance(error, ClientError) and is_final(error)):
            self._is_ending.set()
        if isinstance(error, RequestFailed):
            self._unanswered.discard(song)
        try:
            self._output.print_failed(song, error, job_id=job_id)
        except BrokenPipeError:
            # The reader of stdout has gone.
            self._is_ending.set()

    # One song

    def _separate(self, song: Song, *, waits: bool) -> None:
        submission = None
        try:
            with self._output.bar(song) as bar:
                submission = self._send(song, bar)
                job, paths = self._finish(song, submission, bar) if waits else (None, {})
            if not job:
                return self._output.print_sent(song, submission.id)
            if job.requested_model and job.model != job.requested_model:
                self._output.tell(f"{song.name}: {job.model} ran in place of {job.requested_model}.")
            self._output.print_done(song, paths, job=job)
        except Interrupted:
            raise
        except Exception as error:
            # A thread that ends with an error of any kind must not end the call with 0.
            self._note_failure(song, error, job_id=submission.id if submission else None)

    def _finish(self, song: Song, submission: Submission, bar: Bar) -> tuple[Job, dict[str, Path]]:
        job = self._client.wait(submission.id, on_change=lambda job: _show(job, bar))
        self._started.pop(submission.request_id, None)
        return job, {stem: self._fetch(song, job, stem, bar) for stem in job.stems}

    def _send(self, song: Song, bar: Bar) -> Submission:
        size_bytes = max(1, song.path.stat().st_size)

        def on_bytes(sent: int) -> None:
            # The server makes a job of a whole song: wait for its id, to cancel it.
            if sent < size_bytes:
                self._check()
            else:
                self._unanswered.add(song)
            bar.show("is sent", sent / size_bytes)

        submission = self._client.separate(song.path, self._options, on_bytes=on_bytes)
        with self._lock:
            self._started[submission.request_id] = submission
        self._unanswered.discard(song)
        if self._is_interrupted:
            self._cancel(submission)
            raise Interrupted
        return submission

    def _fetch(self, song: Song, job: Job, stem: str, bar: Bar) -> Path:
        target = self._naming.path(song, stem=stem, extension=job.extension)

        def on_bytes(received: int) -> None:
            self._check()
            bar.show(f"{stem} is fetched", 1.0)

        return self._client.download(job.id, stem, target, on_bytes=on_bytes)

    def _check(self) -> None:
        if self._is_interrupted:
            raise Interrupted

    # Interruption

    @property
    def _is_interrupted(self) -> bool:
        return ExitCode.INTERRUPTED in self._codes

    def _interrupt(self, threads: Sequence[threading.Thread]) -> None:
        """Cancel the jobs of this call that have not ended. A second interruption ends the process."""
        self._codes.add(ExitCode.INTERRUPTED)
        self._is_ending.set()
        with self._lock:
            open_jobs = list(self._started.values())
        for each in open_jobs:
            self._cancel(each)
        ends_at = time.monotonic() + (0 if self._is_away else _END_S)
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        if self._cancelled:
            self._output.tell(f"Cancelled {_count(self._cancelled)}.")
        if (
            left := {song.name: "The server has not answered." for song in list(self._unanswered)}
            | self._left
        ):
            reason = list(left.values())[-1]
            self._output.tell(f"{_count(len(left))} may go on: {', '.join(left)}. {reason}", is_error=True)

    def _cancel(self, submission: Submission) -> None:
        """Cancel this request. Other requests for the same song keep their job."""
        patience_s = 0.0 if self._is_away else _CANCEL_S
        try:
            self._client.cancel(submission.id, request_id=submission.request_id, patience_s=patience_s)
        except ClientError as error:
            self._is_away = self._is_away or isinstance(error, Unreachable)
            if not (isinstance(error, RequestFailed) and error.code in _GONE):
                self._left[submission.id] = str(error)
        else:
            with self._lock:
                self._cancelled += 1


def _count(jobs: int) -> str:
    return f"{jobs} job{'s' if jobs > 1 else ''}"


def _show(job: Job, bar: Bar) -> None:
    if job.state is State.QUEUED:
        bar.show(f"waits, number {job.position}" if job.position else "waits", 0.0)
    else:
        bar.show("is separated", job.progress)
