"""Protocol of the worker's side of the queue, and its values."""

from dataclasses import dataclass
from typing import Protocol

from msaas.fragments import Fragments
from msaas.jobs import Job, JobError
from msaas.queue.abilities import Abilities

#: Only a finished job has progress 1.
NEARLY_DONE = 0.9999


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A lease on a job. Every step with it is refused once its fencing token is stale.

    `releases` counts how often the job was given back. `waited_s` is the time since its enqueue, by the clock
    of the queue.
    """

    job: Job
    payload: bytes
    token: str
    attempt: int
    releases: int = 0
    waited_s: float = 0.0
    #: No worker had the job since its enqueue. False for an entry that was pushed by hand.
    is_first: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a job. `device` is empty when the result was there before the job."""

    model: str
    device: str
    stems: tuple[str, ...]
    requested_model: str | None = None
    weights_sha256: str = ""


class Consumer(Protocol):
    """The worker's side of the queue. Every method raises `QueueUnavailable`."""

    def take(self, *, timeout_s: float) -> bytes | None:
        """Move the oldest entry to the processing list and return it, or None after `timeout_s`."""

    def claim(self, job: Job, *, payload: bytes) -> Claim:
        """Lease an entry that was taken. This counts as an attempt.

        Raises:
            ClaimRefused: another worker holds the job, or it was cancelled. The entry is removed. An entry of
            a job that was cancelled before is a further request, pushed by hand.
            AttemptsExhausted: the job ended too many workers. It is in the dead-letter list.
        """

    def dead_letter(self, payload: bytes, *, reason: str) -> None:
        """Move an invalid entry to the dead-letter list."""

    def heartbeat(self) -> None:
        """Renew the lease of this worker, which has no job."""

    def announce(self, abilities: Abilities) -> None:
        """Record the abilities of this worker.

        The record outlives the worker. It is removed when a later worker announces its own.
        """

    def renew(
        self,
        claim: Claim,
        *,
        progress: float,
        model: str | None = None,
        requested_model: str | None = None,
        device: str | None = None,
        duration_s: float | None = None,
        fragments: Fragments | None = None,
    ) -> None:
        """Renew the lease and publish the progress and new fragments. Raises `LeaseLost`.

        Publish the fragments of an attempt before storing the first, and each before storing the next: then
        the collector knows the names of all.
        """

    def finish(self, claim: Claim, result: Result) -> None:
        """End the job as done and release its callbacks. Idempotent. Raises `LeaseLost`."""

    def fail(self, claim: Claim, error: JobError) -> None:
        """End the job as failed, without a further attempt. Idempotent. Raises `LeaseLost`."""

    def retry(self, claim: Claim, error: JobError) -> None:
        """Return the job for a further attempt. After the last one it is dead.

        Idempotent. Raises `LeaseLost`.
        """

    def release(self, claim: Claim, *, delay_s: float = 0.0, error: JobError | None = None) -> None:
        """Return the job without counting the attempt; `error` tells clients why. Raises `LeaseLost`."""

    def begin_cleanup(self, job_id: str) -> bool:
        """Let `request_song` wait while this worker deletes what it stored for a cancelled job.

        Return False if the job is not cancelled, or another process deletes results of the song.
        """

    def end_cleanup(self, job_id: str) -> None:
        """End the deletion that this process began."""

    def deregister(self) -> None:
        """Return unclaimed entries to the queue and remove this worker."""
