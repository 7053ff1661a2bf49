"""Protocol and values of the job queue.

A job is moved, never popped: it stays in its worker's processing list until its result is stored.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from msaas.errors import (
    AttemptsExhausted,
    JobEnded,
    JobNotFound,
    NotYourRequest,
    QueueFull,
)
from msaas.fragments import Fragments
from msaas.jobs import Job, JobError, JobState, JobStatus
from msaas.queue.abilities import Fleet
from msaas.queue.consumer import Consumer

#: A dead letter keeps this much of an entry, enough to see its origin.
DEAD_LETTER_PAYLOAD_BYTES = 16 * 1024
#: The reaper remembers a worker this long after its lease: a BLMOVE in flight may still fill its list.
FORGET_WORKER_S = 3600
#: The owner of requests that name no client.
ANONYMOUS = "anonymous"
#: The owners of requests that users with accounts made begin with this. Neither a key nor an address does.
ACCOUNT_PREFIX = "user:"
#: Requests of a job that are kept apart. Beyond them a job can only be cancelled as a whole.
MAX_REQUESTS = 1000
#: Jobs in the list of the latest ones.
MAX_LISTED_JOBS = 100_000
#: A job behind more entries has no position: it costs time to count them.
MAX_POSITION = 10_000
EXHAUSTED = JobError(
    "attempts_exhausted",
    AttemptsExhausted().title,
    "The job was stopped after the maximum number of attempts.",
)


@dataclass(frozen=True, kw_only=True)
class QueuePolicy:
    """Times and limits of the queue. A worker without a renewal for `lease_s` loses its job."""

    lease_s: float = 60.0
    max_attempts: int = 3
    #: Job states are forgotten this long after their end. The manifest still answers `done`.
    job_ttl_s: int = 7 * 24 * 3600
    #: The oldest dead letters, and dead callbacks, beyond this number are dropped.
    max_dead: int = 1000
    #: Limits of the callbacks that are not delivered: of one job, and of all.
    max_job_callback_bytes: int = 1024 * 1024
    max_callback_bytes: int = 64 * 1024 * 1024

    @property
    def renew_s(self) -> float:
        return self.lease_s / 6

    @property
    def sweep_s(self) -> float:
        return self.lease_s / 4


@dataclass(frozen=True, kw_only=True)
class Request:
    """An accepted request, which waits for its job. `owner` is its client: a key, or an address."""

    id: str
    owner: str

    @property
    def is_of_account(self) -> bool:
        return self.owner.startswith(ACCOUNT_PREFIX)

    def __str__(self) -> str:
        return f"{self.id} {self.owner}"


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """Requests to cancel: those of `owner`, of which `request_id` names one.

    With `any_owner` the request may be that of another one, a job that was pushed by hand is cancelled, and
    `all_requests` cancels those of all owners. Requests of other accounts are left, unless `with_accounts`
    cancels them as well.
    """

    owner: str
    request_id: str = ""
    any_owner: bool = False
    all_requests: bool = False
    with_accounts: bool = False

    def __post_init__(self) -> None:
        assert self.any_owner or not (self.all_requests or self.with_accounts)

    def means(self, request: Request) -> bool:
        """Return whether this request is to be cancelled."""
        is_admitted = self.any_owner and (self.with_accounts or not request.is_of_account)
        if not is_admitted and request.owner != self.owner:
            return False
        if self.all_requests:
            return True
        return request.id == self.request_id if self.request_id else request.owner == self.owner


@dataclass(frozen=True)
class Listed:
    """A job in the list of the latest ones. `at` is the Unix time of its latest request."""

    job_id: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Numbers of jobs by place, and of workers with a lease."""

    waiting: int
    in_flight: int
    delayed: int
    dead: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of the queue server. `limit_bytes` is 0 without a limit."""

    used_bytes: int
    limit_bytes: int


class JobQueue(Protocol):
    """The jobs, except for the worker's side. Every method raises `QueueUnavailable`."""

    def ping(self) -> None: ...

    def check_writable(self) -> None:
        """Try what `enqueue` needs, and enqueue nothing.

        Raises:
            QueueFull: the server is at its memory limit.
            QueueUnavailable: it does not answer, accepts no writes, or has a key of another type.
        """

    def enqueue(
        self,
        job: Job,
        *,
        request: Request | None = None,
        duration_s: float | None = None,
        max_waiting: int | None = None,
    ) -> JobState:
        """Enqueue the job unless it waits or runs already. Keep its callback and its request either way.

        Owners take turns: each has one job in a turn, and a new owner begins with the current turn. A waiting
        job moves forward if the turn of a further owner is sooner.

        A job that was done keeps its model, device and creation until its work begins again.

        Raises:
            QueueFull: nothing was enqueued. With `max_waiting`, that many jobs wait already.
            TooManyCallbacks: this job has too many callbacks that are not delivered. Nothing was enqueued.
        """

    def cancel(self, job_id: str, which: Cancellation) -> int:
        """Cancel requests for a job that waits or runs. The job, and its work, ends with the last of them.

        Return the number of requests that go on waiting: 0 for a job that is cancelled now, or was before.

        Raises:
            JobNotFound: the queue has no such job.
            JobEnded: the job has ended in another way.
            NotYourRequest: no request for the job is among those to cancel.
        """

    def list_jobs(self, *, before: Listed | None = None, limit: int) -> list[Listed]:
        """Return the latest jobs, newest first, from `before` on. A job is forgotten after `job_ttl_s`."""

    def note_request(self, job_id: str) -> None:
        """List a job that needs no work: it is done."""

    def waiting(self, *, offset: int = 0, limit: int | None = None) -> list[str]:
        """Return the ids of the waiting jobs, next first. Reading never pops.

        `offset` and `limit` count entries. An invalid entry has no id.
        """

    def depth(self) -> Depth: ...

    def memory(self) -> Memory: ...

    def live_workers(self) -> set[str]:
        """Return the names of the workers with a lease. Those of killed workers last until its end."""

    def referenced_songs(self) -> set[str]:
        """Return the hashes of all songs that waiting and running jobs need."""

    def forget(self, job_id: str, *, state: JobState) -> None:
        """Forget the status of the job if it is in this state, which is an end."""

    def acquire_lock(self, task: str, *, every_s: float) -> bool:
        """Acquire the lock for `task`. It expires after `every_s`. Return False if it is held."""

    def extend_lock(self, task: str, *, for_s: float) -> None:
        """Let the lock, which this process holds, expire after `for_s` from now."""

    def status(self, job_id: str) -> JobStatus | None: ...

    def statuses(self, job_ids: Sequence[str]) -> list[JobStatus | None]:
        """Return the status of each job, in one step."""

    def fleet(self) -> Fleet:
        """Return the abilities of the workers."""

    def consumer(self, worker: str) -> Consumer:
        """Return the worker's side of the queue. `worker` is unique among all processes."""

    def reap(self) -> list[str]:
        """Requeue delayed jobs that are due and jobs of expired leases. Return the ids of the latter."""

    def stale_fragments(self) -> list[Fragments]:
        """Return the fragments of ended attempts, which must be deleted from the store."""

    def forget_fragments(self, fragments: Fragments) -> None:
        """Forget fragments that are deleted from the store."""


def queue_full(max_waiting: int | None) -> QueueFull:
    """Return the error for a job that finds `max_waiting` others."""
    return QueueFull(f"The queue is full: {max_waiting} songs wait already. Try again later.")


def anonymous_request(job: Job) -> Request:
    """Return the request of a job that names no client."""
    return Request(id=job.request_id or secrets.token_hex(8), owner=ANONYMOUS)


def check_cancelled(verdict: str, *, job_id: str, left: int) -> None:
    """Raise the error of a cancellation that changed nothing, of which `verdict` is the cause."""
    if verdict == "absent":
        raise JobNotFound(f"Job {job_id} is unknown. Send the song again.")
    if verdict == "foreign":
        raise NotYourRequest(
            f"Job {job_id} waits for {left} requests of other clients. Send the `request_id` of the reply to "
            "your request."
        )
    if verdict not in ("cancelled", "waiting"):
        raise JobEnded(f"Job {job_id} has ended: it is {verdict}. There is nothing to cancel.")


def payload_of(job: Job) -> bytes:
    """Return the message of a job without its callback, which is stored beside it."""
    return replace(job, callback=None).encode()


def encode_dead_letter(payload: bytes, reason: str) -> str:
    """Return the JSON of a dead letter; `reap.lua` writes the same."""
    kept = payload[:DEAD_LETTER_PAYLOAD_BYTES].decode(errors="backslashreplace")
    return json.dumps({"payload": kept, "bytes": len(payload), "reason": reason, "at": round(time.time(), 3)})
