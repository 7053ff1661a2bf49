"""One worker's end of the queue in memory."""

import secrets
import time
from dataclasses import replace

from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost
from msaas.jobs import Job, JobError, JobState, JobStatus
from msaas.pieces import Pieces
from msaas.queue import EXHAUSTED, NEARLY_DONE, Claim, Result, delivery_id_of
from msaas.testing.ledger import Ledger, Record

_LOOK_EVERY_S = 0.01


class InMemoryConsumer:
    """Implements `msaas.queue.Consumer`."""

    def __init__(self, queue: Ledger, *, worker: str) -> None:
        self._queue = queue
        self._worker = worker
        self._last_token = ""

    @property
    def _own(self) -> list[bytes]:
        return self._queue.own[self._worker]

    def take(self, *, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while True:
            self.beat()
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
            queue.outbox.expect(delivery_id_of(payload), job.callback, job_id=job.songhash)
        record = self._record(job, payload)
        held = record.status.state is JobState.RUNNING and record.lease_until > queue.clock()
        mine = held and record.worker == self._worker
        if (held and not mine) or record.status.state is JobState.CANCELLED:
            self._drop(payload)
            raise ClaimRefused("held" if held else "cancelled")
        unheard = mine and record.token != self._last_token
        return self._lease(record, job, payload, attempt=record.status.attempts + (not unheard))

    def _record(self, job: Job, payload: bytes) -> Record:
        record = self._queue.jobs.get(job.songhash)
        if record is None or record.status.state in (JobState.DONE, JobState.FAILED):
            status = JobStatus(job.songhash, JobState.QUEUED, created_at=self._queue.clock())
            record = self._queue.jobs[job.songhash] = Record(status, payload)
        return record

    def _lease(self, record: Record, job: Job, payload: bytes, *, attempt: int) -> Claim:
        queue = self._queue
        if attempt > queue.policy.max_attempts:
            self._drop(payload)
            queue.lay_with_the_dead(payload, reason=EXHAUSTED.code)
            queue.end(record, JobState.FAILED, error=EXHAUSTED)
            raise AttemptsExhausted(job.songhash)
        now = queue.clock()
        record.drop_lease()
        record.status = replace(
            record.status, state=JobState.RUNNING, attempts=attempt, progress=0.0, started_at=now
        )
        record.payload, record.token, record.worker = payload, secrets.token_hex(16), self._worker
        record.lease_until = queue.workers[self._worker] = now + queue.policy.lease_s
        queue.claims[self._worker][payload] = job.songhash
        self._last_token = record.token
        return Claim(job, payload, record.token, attempt=attempt, give_backs=record.give_backs)

    def bury(self, payload: bytes, *, reason: str) -> None:
        self._queue.answer()
        if payload in self._own:
            self._drop(payload)
            self._queue.lay_with_the_dead(payload, reason=reason)

    def beat(self) -> None:
        self._queue.answer()
        self._queue.workers[self._worker] = self._queue.clock() + self._queue.policy.lease_s

    def renew(
        self,
        claim: Claim,
        *,
        progress: float,
        model: str | None = None,
        device: str | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        record = self._fenced(claim)
        self.beat()
        record.lease_until = self._queue.workers[self._worker]
        record.status = replace(
            record.status,
            progress=min(progress, NEARLY_DONE),
            model=model or record.status.model,
            device=device or record.status.device,
            pieces=pieces or record.status.pieces,
        )
        if pieces:
            self._queue.pieces[pieces.tag] = pieces

    def finish(self, claim: Claim, result: Result) -> None:
        if self._ended_by(claim):
            return
        record = self._let_go(claim)
        record.finished_by = claim.token
        record.status = replace(
            record.status,
            progress=1.0,
            model=result.model,
            device=result.device or record.status.device,
            stems=result.stems,
        )
        self._queue.end(record, JobState.DONE)

    def fail(self, claim: Claim, error: JobError) -> None:
        if self._ended_by(claim):
            return
        record = self._let_go(claim)
        record.finished_by = claim.token
        self._queue.end(record, JobState.FAILED, error=error)

    def retry(self, claim: Claim, error: JobError) -> None:
        if self._ended_by(claim):
            return
        record = self._let_go(claim)
        if record.status.attempts < self._queue.policy.max_attempts:
            self._queue.requeue(record, claim.payload)
            record.status = replace(record.status, error=error)
        else:
            record.finished_by = claim.token
            self._queue.lay_with_the_dead(claim.payload, reason=error.code)
            self._queue.end(record, JobState.FAILED, error=error)

    def give_back(self, claim: Claim, *, delay_s: float = 0.0) -> None:
        record = self._let_go(claim)
        record.status = replace(
            record.status, state=JobState.QUEUED, progress=0.0, attempts=record.status.attempts - 1
        )
        if delay_s:
            record.drop_lease()
            self._queue.delayed[claim.payload] = self._queue.clock() + delay_s
        else:
            record.give_backs += 1
            self._queue.requeue(record, claim.payload)

    def leave(self) -> None:
        queue, claims = self._queue, self._queue.claims[self._worker]
        queue.answer()
        for payload in reversed(self._own):
            if payload not in claims:
                queue.entries.appendleft(payload)
        self._own[:] = [payload for payload in self._own if payload in claims]
        if not self._own:
            queue.workers[self._worker] = queue.clock()

    def _ended_by(self, claim: Claim) -> bool:
        """The same step again, because its reply was lost, is no stale lease."""
        self._queue.answer()
        record = self._queue.jobs.get(claim.job.songhash)
        return record is not None and record.finished_by == claim.token

    def _fenced(self, claim: Claim) -> Record:
        self._queue.answer()
        record = self._queue.jobs.get(claim.job.songhash)
        if record is None or record.token != claim.token:
            raise LeaseLost(claim.job.songhash)
        return record

    def _let_go(self, claim: Claim) -> Record:
        record = self._fenced(claim)
        self._drop(claim.payload)
        return record

    def _drop(self, payload: bytes) -> None:
        """Of two equal entries the younger one goes, as `LREM` has it."""
        self._queue.claims[self._worker].pop(payload, None)
        for index in range(len(self._own) - 1, -1, -1):
            if self._own[index] == payload:
                del self._own[index]
                return
