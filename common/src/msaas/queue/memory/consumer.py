"""The worker's side of the in-memory queue."""

import secrets
import time
from dataclasses import replace

from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost, QueueFull, TooManyCallbacks
from msaas.fragments import Fragments
from msaas.jobs import Job, JobError, JobState
from msaas.queue.abilities import Abilities
from msaas.queue.consumer import NEARLY_DONE, Claim, Result
from msaas.queue.memory.ledger import Ledger, Record
from msaas.queue.outbox import delivery_id_of
from msaas.queue.protocol import EXHAUSTED
from msaas.songs import source_of

_LOOK_EVERY_S = 0.01


class InMemoryConsumer:
    """Implements `msaas.queue.consumer.Consumer`."""

    def __init__(self, queue: Ledger, *, worker: str) -> None:
        self._queue = queue
        self._worker = worker
        self._last_token = ""

    @property
    def _own(self) -> list[bytes]:
        return self._queue.processing[self._worker]

    def take(self, *, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while True:
            self.heartbeat()
            if not self._own and self._queue.entries:
                self._own.append(self._queue.entries.popleft())
            if self._own or time.monotonic() >= deadline:
                return self._own[0] if self._own else None
            time.sleep(_LOOK_EVERY_S)

    def claim(self, job: Job, *, payload: bytes) -> Claim:
        queue = self._queue
        queue.answer()
        if payload not in self._own:
            raise ClaimRefused("gone")
        if job.callback:
            try:
                queue.outbox.expect(delivery_id_of(payload), job.callback, job_id=job.job_id)
            except (QueueFull, TooManyCallbacks):
                queue.outbox.refuse(delivery_id_of(payload), job_id=job.job_id)
        is_first, is_unknown = self._is_first(job), job.job_id not in queue.jobs
        record = self._record(job, payload)
        held = record.status.state is JobState.RUNNING and record.lease_until > queue.clock()
        mine = held and record.worker == self._worker
        if held and not mine:
            self._drop(payload)
            raise ClaimRefused("held")
        record.options = job.options
        queue.line.claim(job.job_id)
        if is_unknown:
            queue.listed[job.job_id] = queue.clock()
        # A lease of this worker that it does not know: the reply was lost and no work was done.
        is_unheard = mine and record.token != self._last_token
        attempt = record.status.attempts + (not is_unheard)
        return self._lease(record, job, payload, attempt=attempt, is_first=is_first)

    def _is_first(self, job: Job) -> bool:
        record = self._queue.jobs.get(job.job_id)
        return bool(record and record.status.state is JobState.QUEUED and record.status.started_at is None)

    def _record(self, job: Job, payload: bytes) -> Record:
        record = self._queue.jobs.get(job.job_id)
        if record is None or record.status.state not in (JobState.QUEUED, JobState.RUNNING):
            record = self._queue.restart(job.job_id, payload)
        return record

    def _lease(self, record: Record, job: Job, payload: bytes, *, attempt: int, is_first: bool) -> Claim:
        queue = self._queue
        if attempt > queue.policy.max_attempts:
            self._drop(payload)
            queue.push_dead_letter(payload, reason=EXHAUSTED.code)
            queue.end(record, JobState.FAILED, error=EXHAUSTED)
            raise AttemptsExhausted(job.job_id)
        now = queue.clock()
        record.drop_lease()
        record.status = replace(
            record.status, state=JobState.RUNNING, attempts=attempt, progress=0.0, started_at=now
        )
        record.payload, record.token, record.worker = payload, secrets.token_hex(16), self._worker
        record.lease_until = queue.workers[self._worker] = now + queue.policy.lease_s
        queue.claims[self._worker][payload] = job.job_id
        self._last_token = record.token
        return Claim(
            job=job,
            payload=payload,
            token=record.token,
            attempt=attempt,
            releases=record.releases,
            waited_s=max(0.0, now - record.waits_since),
            is_first=is_first,
        )

    def dead_letter(self, payload: bytes, *, reason: str) -> None:
        self._queue.answer()
        if payload in self._own:
            self._drop(payload)
            self._queue.push_dead_letter(payload, reason=reason)

    def heartbeat(self) -> None:
        self._queue.answer()
        self._queue.workers[self._worker] = self._queue.clock() + self._queue.policy.lease_s

    def announce(self, abilities: Abilities) -> None:
        queue = self._queue
        queue.answer()
        live = queue.live_workers()
        queue.abilities = {worker: known for worker, known in queue.abilities.items() if worker in live}
        queue.abilities[self._worker] = abilities

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
        record = self._get_leased(claim)
        self.heartbeat()
        record.lease_until = self._queue.workers[self._worker]
        if device:
            record.begin_work()
        record.status = replace(
            record.status,
            progress=min(progress, NEARLY_DONE),
            model=model or record.status.model,
            requested_model=requested_model or record.status.requested_model,
            device=device or record.status.device,
            fragments=fragments or record.status.fragments,
            duration_s=record.status.duration_s if duration_s is None else round(duration_s, 3),
        )
        if fragments:
            self._queue.fragments[fragments.tag] = fragments

    def finish(self, claim: Claim, result: Result) -> None:
        if self._has_ended(claim):
            return
        record = self._release_entry(claim)
        record.finished_by = claim.token
        if result.device:
            record.begin_work()
        record.status = replace(
            record.status,
            progress=1.0,
            model=result.model,
            requested_model=result.requested_model or record.status.requested_model,
            device=result.device or record.status.device,
            stems=result.stems,
            error=None,
        )
        self._queue.end(record, JobState.DONE, weights_sha256=result.weights_sha256)
        record.enqueued_at = None

    def fail(self, claim: Claim, error: JobError) -> None:
        if self._has_ended(claim):
            return
        record = self._release_entry(claim)
        record.finished_by = claim.token
        self._queue.end(record, JobState.FAILED, error=error)

    def retry(self, claim: Claim, error: JobError) -> None:
        if self._has_ended(claim):
            return
        record = self._release_entry(claim)
        if record.status.attempts < self._queue.policy.max_attempts:
            self._queue.requeue(record, claim.payload)
            record.status = replace(record.status, error=error)
        else:
            record.finished_by = claim.token
            self._queue.push_dead_letter(claim.payload, reason=error.code)
            self._queue.end(record, JobState.FAILED, error=error)

    def release(self, claim: Claim, *, delay_s: float = 0.0, error: JobError | None = None) -> None:
        record = self._release_entry(claim)
        record.status = replace(
            record.status,
            state=JobState.QUEUED,
            progress=0.0,
            attempts=record.status.attempts - 1,
            error=error or record.status.error,
        )
        if delay_s:
            record.drop_lease()
            self._queue.delayed[claim.payload] = self._queue.clock() + delay_s
        else:
            record.releases += 1
            self._queue.requeue(record, claim.payload)

    def begin_cleanup(self, job_id: str) -> bool:
        queue, song_hash = self._queue, source_of(job_id)
        queue.answer()
        record = queue.jobs.get(job_id)
        is_cancelled = record is not None and record.status.state is JobState.CANCELLED
        return is_cancelled and queue.registry.announce_deletion(song_hash)

    def end_cleanup(self, job_id: str) -> None:
        self._queue.answer()
        self._queue.registry.end_deletion(source_of(job_id))

    def deregister(self) -> None:
        queue, claims = self._queue, self._queue.claims[self._worker]
        queue.answer()
        for payload in reversed(self._own):
            if payload not in claims:
                queue.entries.appendleft(payload)
        self._own[:] = [payload for payload in self._own if payload in claims]
        if not self._own:
            queue.workers[self._worker] = queue.clock()

    def _has_ended(self, claim: Claim) -> bool:
        """Return whether this claim ended the job before: the step is repeated when its reply was lost."""
        self._queue.answer()
        record = self._queue.jobs.get(claim.job.job_id)
        return record is not None and record.finished_by == claim.token

    def _get_leased(self, claim: Claim) -> Record:
        self._queue.answer()
        record = self._queue.jobs.get(claim.job.job_id)
        if record is None or record.token != claim.token:
            raise LeaseLost(f"The lease of job {claim.job.job_id} is lost.")
        return record

    def _release_entry(self, claim: Claim) -> Record:
        record = self._get_leased(claim)
        self._drop(claim.payload)
        return record

    def _drop(self, payload: bytes) -> None:
        """Remove the entry. Of two equal ones the younger, as `LREM` does."""
        self._queue.claims[self._worker].pop(payload, None)
        for index in range(len(self._own) - 1, -1, -1):
            if self._own[index] == payload:
                del self._own[index]
                return
