"""A job is moved, never popped: it lies in its worker's own list until its result is stored."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Protocol

from msaas.errors import AttemptsExhausted
from msaas.jobs import Callback, Job, JobError, JobState, JobStatus
from msaas.pieces import Pieces

#: A dead letter keeps this much of an entry, enough to see where it came from.
LETTER_BYTES = 16 * 1024
#: A job shows so many of its callbacks.
MAX_LISTED = 100
#: Callbacks that can be sent once more: their job has ended.
REDELIVERABLE = ("pending", "delivered", "refused", "dead")
#: Only a finished job has progress 1.
NEARLY_DONE = 0.9999
EXHAUSTED = JobError("attempts_exhausted", AttemptsExhausted().title, "It was given up.")


@dataclass(frozen=True)
class QueuePolicy:
    """How long a worker may be silent, and how often a job may end one."""

    lease_s: float = 60.0
    max_attempts: int = 3
    #: A state nobody asks for is forgotten; the manifest still answers `done`.
    job_ttl_s: int = 7 * 24 * 3600
    #: Dead letters, and dead callbacks, beyond this number are dropped, oldest first.
    max_dead: int = 1000

    @property
    def renew_s(self) -> float:
        return self.lease_s / 6

    @property
    def sweep_s(self) -> float:
        return self.lease_s / 4


@dataclass(frozen=True)
class Claim:
    """A lease on a job: everything done with it is refused once the token is stale."""

    job: Job
    payload: bytes
    token: str
    attempt: int
    give_backs: int = 0


@dataclass(frozen=True)
class Result:
    """What a finished job says of itself; `device` is empty where the result was there already."""

    model: str
    device: str
    stems: tuple[str, ...]


class JobQueue(Protocol):
    """Where jobs are announced. Every method raises `QueueUnavailable` when nobody answers."""

    def ping(self) -> None: ...

    def enqueue(self, job: Job) -> JobState:
        """Announce the job unless it waits or runs already; its callback counts either way.

        Raises:
            QueueFull: nothing was enqueued.
        """

    def waiting(self) -> list[str]:
        """Return the ids that wait, next first. Reading never pops."""

    def depth(self) -> "Depth": ...

    def open_songs(self) -> set[str]:
        """Return the hashes of all songs that jobs wait for or work on."""

    def take_turn(self, task: str, *, every_s: float) -> bool:
        """Whether the caller may do this now; if so, nobody else may for `every_s`."""

    def status(self, job_id: str) -> JobStatus | None: ...

    def consumer(self, worker: str) -> "Consumer":
        """Return the end of the queue that `worker`, a name no other process ever has, takes from."""

    def reap(self) -> list[str]:
        """Return the jobs of silent workers and those whose delay is over; name their ids."""

    def stale_pieces(self) -> list[Pieces]:
        """Return the pieces of attempts that are over: nobody is shown them, somebody must delete them."""

    def forget_pieces(self, pieces: Pieces) -> None:
        """They are deleted."""


@dataclass(frozen=True)
class Depth:
    waiting: int
    in_flight: int
    delayed: int
    dead: int


class Consumer(Protocol):
    """One worker's end of the queue."""

    def take(self, *, timeout_s: float) -> bytes | None:
        """Move the oldest entry to this worker's own list and return it, or None after `timeout_s`."""

    def claim(self, job: Job, *, payload: bytes) -> Claim:
        """Lease what was taken; this counts as an attempt.

        Raises:
            ClaimRefused: another worker holds it, or it was cancelled; the entry is gone.
            AttemptsExhausted: it ended too many workers; it lies with the dead.
        """

    def bury(self, payload: bytes, *, reason: str) -> None:
        """Lay an entry that is no job with the dead."""

    def beat(self) -> None:
        """Say that this worker lives."""

    def renew(
        self,
        claim: Claim,
        *,
        progress: float,
        model: str | None = None,
        device: str | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        """Prolong the lease and publish the progress, and what is new to be heard. Raises `LeaseLost`.

        Tell of an attempt's pieces before the first is stored, and of each before the next: so whoever
        deletes them knows all their names.
        """

    def finish(self, claim: Claim, result: Result) -> None:
        """End the job as done and release its callbacks. Raises `LeaseLost`."""

    def fail(self, claim: Claim, error: JobError) -> None:
        """End the job for good. Raises `LeaseLost`."""

    def retry(self, claim: Claim, error: JobError) -> None:
        """Let another attempt be made; after the last one the job lies with the dead. Raises `LeaseLost`."""

    def give_back(self, claim: Claim, *, delay_s: float = 0.0) -> None:
        """Return the job as if it had never been taken. Raises `LeaseLost`."""

    def leave(self) -> None:
        """Sign off; entries still in the own list go back to the queue."""


class Outbox(Protocol):
    """Callbacks on their way: each lies here until it is delivered, refused or given up."""

    def add(self, callback: Callback, *, job_id: str) -> str:
        """Put down a callback whose job is done; return the id that all its attempts carry."""

    def due(self, *, visibility_s: float) -> "Delivery | None":
        """Return the next delivery whose time has come, hidden from others for `visibility_s`."""

    def settle(self, delivery: "Delivery", *, state: str, detail: str = "") -> None:
        """Say how the attempt ended: `delivered`, `refused` or `dead`.

        Nothing happens if it is no longer the last one: what was asked for since then is to be sent.
        """

    def again(self, delivery: "Delivery", *, delay_s: float, detail: str = "") -> None:
        """Try again later, unless this attempt is no longer the last one."""

    def redeliver(self, delivery_id: str, *, job_id: str) -> "Delivery":
        """Let it be sent once more, now, under the same id and with all its attempts before it.

        Raises:
            CallbackNotFound: this job has no such callback.
            CallbackNotReady: the job has not ended yet, or ended so that there is nothing to tell.
        """

    def deliveries(self, job_id: str) -> "list[Delivery]":
        """Return what became of the latest callbacks of a job, oldest first."""

    def dead(self) -> "list[Delivery]":
        """Return what was given up, newest first."""


@dataclass(frozen=True)
class Delivery:
    """`body` is the JSON to POST, `due_at` when that is tried next, `secret` what signs it for once."""

    id: str
    job_id: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    state: str
    attempts: int
    detail: str = ""
    due_at: float | None = None
    secret: str | None = field(default=None, repr=False)


def new_delivery_id() -> str:
    """Return an id as Standard Webhooks wants it: unique, and the same over all attempts."""
    return f"msg_{secrets.token_hex(12)}"


def delivery_id_of(payload: bytes) -> str:
    return f"msg_{hashlib.sha256(payload).hexdigest()[:24]}"


def dead_letter(payload: bytes, reason: str) -> str:
    kept = payload[:LETTER_BYTES].decode(errors="backslashreplace")
    return json.dumps({"payload": kept, "bytes": len(payload), "reason": reason, "at": round(time.time(), 3)})
