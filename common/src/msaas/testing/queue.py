"""The reliable queue in memory: what each step means, without a server."""

from dataclasses import replace

from msaas.errors import MalformedJob, QueueFull
from msaas.jobs import Job, JobState, JobStatus
from msaas.pieces import Pieces
from msaas.queue import EXHAUSTED, Depth, new_delivery_id
from msaas.songs import source_of
from msaas.testing.consumer import InMemoryConsumer
from msaas.testing.ledger import Ledger, Record

#: As long as the reaper of the real queue remembers a worker that is gone.
_FORGET_AFTER_S = 3600.0


class InMemoryQueue(Ledger):
    """Implements `msaas.queue.JobQueue`."""

    def ping(self) -> None:
        self.answer()

    def push(self, payload: bytes) -> None:
        """What anyone may do by hand: `LPUSH toWorkers`."""
        self.entries.append(payload)

    def enqueue(self, job: Job) -> JobState:
        self.answer()
        if self.full:
            raise QueueFull("Turned full.")
        if job.callback:
            self.outbox.expect(new_delivery_id(), job.callback, job_id=job.songhash)
        record = self.jobs.get(job.songhash)
        if record is None or not self._stands(record):
            status = JobStatus(job.songhash, JobState.QUEUED, model=job.model, created_at=self.clock())
            record = self.jobs[job.songhash] = Record(status, replace(job, callback=None).encode())
            self.push(record.payload)
        return record.status.state

    def _stands(self, record: Record) -> bool:
        """A state alone is no proof: the entry that stands for the job must lie somewhere."""
        if record.status.state not in (JobState.QUEUED, JobState.RUNNING):
            return False
        places = (self.entries, self.delayed, *self.own.values())
        return any(record.payload in place for place in places)

    def waiting(self) -> list[str]:
        self.answer()
        return [job_id for job_id in map(_id_or_none, self.entries) if job_id]

    def depth(self) -> Depth:
        self.answer()
        in_flight = sum(map(len, self.own.values()))
        return Depth(
            len(self.entries), in_flight=in_flight, delayed=len(self.delayed), dead=len(self.letters)
        )

    def open_songs(self) -> set[str]:
        self.answer()
        entries = [*self.entries, *self.delayed, *(entry for own in self.own.values() for entry in own)]
        return {source_of(job_id) for job_id in map(_id_or_none, entries) if job_id}

    def take_turn(self, task: str, *, every_s: float) -> bool:
        self.answer()
        if self.turns.get(task, 0.0) > self.clock():
            return False
        self.turns[task] = self.clock() + every_s
        return True

    def status(self, job_id: str) -> JobStatus | None:
        self.answer()
        record = self.jobs.get(job_id)
        return record.status if record else None

    def consumer(self, worker: str) -> InMemoryConsumer:
        return InMemoryConsumer(self, worker=worker)

    def reap(self) -> list[str]:
        self.answer()
        now, returned = self.clock(), []
        for payload, _ in sorted(self.delayed.items(), key=lambda item: (item[1], item[0])):
            if self.delayed[payload] <= now:
                del self.delayed[payload]
                self.entries.appendleft(payload)
        for worker, until in sorted(self.workers.items(), key=lambda item: (item[1], item[0])):
            if until <= now:
                returned += self._return_all(worker)
            if until <= now - _FORGET_AFTER_S:
                del self.workers[worker]
        return returned

    def stale_pieces(self) -> list[Pieces]:
        self.answer()
        shown = [record.status.pieces for record in self.jobs.values()]
        return [pieces for pieces in self.pieces.values() if pieces not in shown]

    def forget_pieces(self, pieces: Pieces) -> None:
        self.answer()
        self.pieces.pop(pieces.tag, None)

    def _return_all(self, worker: str) -> list[str]:
        claims, returned = self.claims.pop(worker, {}), []
        for payload in reversed(self.own.pop(worker, [])):
            record = self.jobs.get(claims.get(payload, ""))
            if payload not in claims:
                self.entries.appendleft(payload)
            elif record and record.worker == worker:
                self._return_claimed(record, payload)
                returned.append(record.status.songhash)
        return returned

    def _return_claimed(self, record: Record, payload: bytes) -> None:
        if record.status.attempts < self.policy.max_attempts:
            self.requeue(record, payload)
        else:
            self.lay_with_the_dead(payload, reason=EXHAUSTED.code)
            self.end(record, JobState.FAILED, error=EXHAUSTED)


def _id_or_none(payload: bytes) -> str | None:
    try:
        return Job.decode(payload).songhash
    except MalformedJob:
        return None
