"""The in-memory queue, except for the worker's side."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

from msaas.errors import MalformedJob, QueueFull
from msaas.fragments import Fragments
from msaas.jobs import Job, JobState, JobStatus
from msaas.queue.abilities import Fleet
from msaas.queue.memory.consumer import InMemoryConsumer
from msaas.queue.memory.ledger import Ledger, Record
from msaas.queue.outbox import new_delivery_id
from msaas.queue.protocol import (
    ACCOUNT_PREFIX,
    EXHAUSTED,
    FORGET_WORKER_S,
    MAX_REQUESTS,
    Cancellation,
    Depth,
    Listed,
    Memory,
    Request,
    anonymous_request,
    check_cancelled,
    payload_of,
    queue_full,
)
from msaas.songs import source_of


class InMemoryQueue(Ledger):
    """Implements `msaas.queue.protocol.JobQueue`."""

    def ping(self) -> None:
        self.answer()

    def check_writable(self) -> None:
        self.answer()
        if self.full:
            raise QueueFull("The in-memory queue is turned full.")

    def push(self, payload: bytes) -> None:
        """Push an entry as `LPUSH toWorkers` does."""
        self.entries.append(payload)

    def enqueue(
        self,
        job: Job,
        *,
        request: Request | None = None,
        duration_s: float | None = None,
        max_waiting: int | None = None,
    ) -> JobState:
        self.check_writable()
        request = request or anonymous_request(job)
        record = self.jobs.get(job.job_id)
        is_new = record is None or not self._is_in_a_list(record)
        if is_new and max_waiting is not None and len(self.entries) + len(self.delayed) >= max_waiting:
            raise queue_full(max_waiting)
        if job.callback:
            self.outbox.expect(new_delivery_id(), job.callback, job_id=job.job_id, request=request)
        self._list(job.job_id)
        turn = self.line.next_turn(request.owner)
        if record is None or is_new:
            record = self.restart(job.job_id, payload_of(job), model=job.options.get("model"))
            record.options = job.options
            if duration_s is not None:
                record.status = replace(record.status, duration_s=round(duration_s, 3))
            self.line.push(job.job_id, record.payload, owner=request.owner, turn=turn)
        elif record.payload in self.entries:
            self._bring_forward(job.job_id, owner=request.owner, turn=turn)
        _add_request(record, request)
        return record.status.state

    def _bring_forward(self, job_id: str, *, owner: str, turn: int) -> None:
        place = self.line.order.get(job_id)
        if place and turn < place[0]:
            self.line.move(job_id, owner=owner, turn=turn)

    def _list(self, job_id: str) -> None:
        oldest = self.clock() - self.policy.job_ttl_s
        self.listed = {each: at for each, at in self.listed.items() if at > oldest}
        self.listed[job_id] = self.clock()

    def note_request(self, job_id: str) -> None:
        self.check_writable()
        self._list(job_id)

    def list_jobs(self, *, before: Listed | None = None, limit: int) -> list[Listed]:
        self.answer()
        listed = sorted(((at, job_id) for job_id, at in self.listed.items()), reverse=True)
        latest = [
            Listed(job_id, at) for at, job_id in listed if before is None or (at, job_id) < _key(before)
        ]
        return latest[:limit]

    def cancel(self, job_id: str, which: Cancellation) -> int:
        self.answer()
        record = self.jobs.get(job_id)
        if record is None or record.status.state not in (JobState.QUEUED, JobState.RUNNING):
            check_cancelled(record.status.state.value if record else "absent", job_id=job_id, left=0)
            return 0
        meant = {request for request in record.requests if which.means(request)}
        if not meant and (record.requests or not which.any_owner):
            check_cancelled("foreign", job_id=job_id, left=len(record.requests))
        record.requests -= meant
        self.outbox.cancel(job_id, meant)
        if not record.requests:
            self._end_cancelled(record)
        return len(record.requests)

    def _end_cancelled(self, record: Record) -> None:
        self.line.leave(record.status.job_id)
        _remove_last(self.entries, record.payload)
        self.delayed.pop(record.payload, None)
        for worker, processing in self.processing.items():
            _remove_last(processing, record.payload)
            self.claims[worker].pop(record.payload, None)
        record.status = replace(record.status, error=None)
        self.end(record, JobState.CANCELLED)

    def _is_in_a_list(self, record: Record) -> bool:
        """Return whether the entry of the job is in a list: the state alone proves nothing."""
        if record.status.state not in (JobState.QUEUED, JobState.RUNNING):
            return False
        places = (self.entries, self.delayed, *self.processing.values())
        return any(record.payload in place for place in places)

    def waiting(self, *, offset: int = 0, limit: int | None = None) -> list[str]:
        self.answer()
        end = None if limit is None else offset + limit
        return [job_id for job_id in map(_id_or_none, islice(self.entries, offset, end)) if job_id]

    def depth(self) -> Depth:
        self.answer()
        return Depth(
            waiting=len(self.entries),
            in_flight=sum(map(len, self.processing.values())),
            delayed=len(self.delayed),
            dead=len(self.dead_letters),
            workers=len(self.live_workers()),
        )

    def memory(self) -> Memory:
        self.answer()
        return Memory(used_bytes=0, limit_bytes=0)

    def referenced_songs(self) -> set[str]:
        self.answer()
        entries = [
            *self.entries,
            *self.delayed,
            *(entry for processing in self.processing.values() for entry in processing),
        ]
        return {source_of(job_id) for job_id in map(_id_or_none, entries) if job_id}

    def forget(self, job_id: str, *, state: JobState) -> None:
        self.answer()
        record = self.jobs.get(job_id)
        if record and record.status.state is state:
            del self.jobs[job_id]

    def acquire_lock(self, task: str, *, every_s: float) -> bool:
        self.answer()
        if self.locks.get(task, 0.0) > self.clock():
            return False
        self.locks[task] = self.clock() + every_s
        return True

    def extend_lock(self, task: str, *, for_s: float) -> None:
        self.answer()
        self.locks[task] = self.clock() + for_s

    def status(self, job_id: str) -> JobStatus | None:
        self.answer()
        record = self.jobs.get(job_id)
        if record is None or record.status.state is not JobState.QUEUED or record.payload not in self.entries:
            return record.status if record else None
        return replace(record.status, position=self.entries.index(record.payload) + 1)

    def statuses(self, job_ids: Sequence[str]) -> list[JobStatus | None]:
        return [self.status(job_id) for job_id in job_ids]

    def fleet(self) -> Fleet:
        self.answer()
        return Fleet.of(self.abilities, live=self.live_workers())

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
            if until <= now - FORGET_WORKER_S:
                del self.workers[worker]
        return returned

    def stale_fragments(self) -> list[Fragments]:
        self.answer()
        shown = [record.status.fragments for record in self.jobs.values()]
        return [fragments for fragments in self.fragments.values() if fragments not in shown]

    def forget_fragments(self, fragments: Fragments) -> None:
        self.answer()
        self.fragments.pop(fragments.tag, None)

    def _return_all(self, worker: str) -> list[str]:
        claims, returned = self.claims.pop(worker, {}), []
        for payload in reversed(self.processing.pop(worker, [])):
            record = self.jobs.get(claims.get(payload, ""))
            if payload not in claims:
                self.entries.appendleft(payload)
            elif record and record.worker == worker:
                self._return_claimed(record, payload)
                returned.append(record.status.job_id)
        return returned

    def _return_claimed(self, record: Record, payload: bytes) -> None:
        if record.status.attempts < self.policy.max_attempts:
            self.requeue(record, payload)
        else:
            self.push_dead_letter(payload, reason=EXHAUSTED.code)
            self.end(record, JobState.FAILED, error=EXHAUSTED)


def _id_or_none(payload: bytes) -> str | None:
    try:
        return Job.decode(payload).job_id
    except MalformedJob:
        return None


def _add_request(record: Record, request: Request) -> None:
    """Requests beyond the limit share one entry, those of accounts another one."""
    is_full = len(record.requests) >= MAX_REQUESTS
    others = Request(id="others", owner=ACCOUNT_PREFIX if request.is_of_account else "")
    record.requests.add(others if is_full else request)


def _key(listed: Listed) -> tuple[float, str]:
    return (listed.at, listed.job_id)


class _Entries(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> bytes: ...
    def __delitem__(self, index: int, /) -> None: ...


def _remove_last(entries: _Entries, payload: bytes) -> None:
    """Remove the last of the equal entries, as `LREM` from the left does."""
    for index in range(len(entries) - 1, -1, -1):
        if entries[index] == payload:
            del entries[index]
            return
