"""The state of the in-memory queue, and the steps that both of its sides share."""

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msaas.errors import QueueUnavailable
from msaas.fragments import Fragments
from msaas.jobs import JobError, JobState, JobStatus
from msaas.queue.abilities import Abilities
from msaas.queue.history import options_json
from msaas.queue.memory.fair_order import FairOrder
from msaas.queue.memory.history import InMemoryHistory
from msaas.queue.memory.outbox import InMemoryOutbox
from msaas.queue.memory.song_registry import InMemorySongRegistry
from msaas.queue.protocol import QueuePolicy, Request, encode_dead_letter
from msaas.separations import Separation


@dataclass
class Record:
    """A job; `payload` is its entry in a list."""

    status: JobStatus
    payload: bytes
    token: str = ""
    worker: str = ""
    lease_until: float = 0.0
    releases: int = 0
    #: The requests that wait for the job.
    requests: set[Request] = field(default_factory=set)
    finished_by: str = ""
    #: Time of the enqueue of a job that was done before. Its status has the facts of the earlier result.
    enqueued_at: float | None = None
    #: Those of the job. They stand in the history.
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def waits_since(self) -> float:
        return self.enqueued_at or self.status.created_at or 0.0

    def begin_work(self) -> None:
        """Drop the facts of the earlier result."""
        if self.enqueued_at is not None:
            self.status = replace(
                self.status, created_at=self.enqueued_at, model=None, requested_model=None, device=None
            )
            self.enqueued_at = None

    def drop_lease(self) -> None:
        self.token, self.worker, self.lease_until = "", "", 0.0
        self.status = replace(self.status, fragments=None)


class Ledger:
    """With `away` set every call raises `QueueUnavailable`, with `full` `enqueue` raises `QueueFull`."""

    def __init__(
        self, *, policy: QueuePolicy = QueuePolicy(), clock: Callable[[], float] = time.time
    ) -> None:
        self.away = False
        self.full = False
        self.policy = policy
        self.clock = clock
        self.outbox = InMemoryOutbox(clock=clock, policy=policy)
        self.registry = InMemorySongRegistry(clock=clock)
        self.history = InMemoryHistory()
        self.line = FairOrder()
        self.delayed: dict[bytes, float] = {}
        self.jobs: dict[str, Record] = {}
        #: By worker, in the order of `take`.
        self.processing: defaultdict[str, list[bytes]] = defaultdict(list)
        self.claims: defaultdict[str, dict[bytes, str]] = defaultdict(dict)
        self.workers: dict[str, float] = {}
        #: By task: when its lock expires.
        self.locks: dict[str, float] = {}
        #: By job: the time of its latest request.
        self.listed: dict[str, float] = {}
        #: By worker.
        self.abilities: dict[str, Abilities] = {}
        #: By tag of the attempt.
        self.fragments: dict[str, Fragments] = {}
        #: Newest first.
        self.dead_letters: list[dict[str, object]] = []

    @property
    def entries(self) -> deque[bytes]:
        """The waiting entries, next first."""
        return self.line.entries

    def answer(self) -> None:
        if self.away:
            raise QueueUnavailable("The in-memory queue is turned off.")

    def live_workers(self) -> set[str]:
        self.answer()
        return {worker for worker, until in self.workers.items() if until > self.clock()}

    def restart(self, job_id: str, payload: bytes, *, model: str | None = None) -> Record:
        """Begin the record of a job anew. A job that was done keeps its facts until its work begins again."""
        now, before = self.clock(), self.jobs.get(job_id)
        status = JobStatus(job_id=job_id, state=JobState.QUEUED, model=model, created_at=now)
        record = Record(status, payload)
        if before and before.status.state is JobState.DONE:
            done = before.status
            record.status = replace(
                status,
                model=done.model,
                requested_model=done.requested_model,
                device=done.device,
                created_at=done.created_at,
                duration_s=done.duration_s,
            )
            record.enqueued_at = now
        self.jobs[job_id] = record
        return record

    def requeue(self, record: Record, payload: bytes) -> None:
        record.drop_lease()
        record.status = replace(record.status, state=JobState.QUEUED, progress=0.0)
        self.entries.appendleft(payload)

    def end(
        self,
        record: Record,
        state: JobState,
        *,
        error: JobError | None = None,
        weights_sha256: str = "",
    ) -> None:
        record.drop_lease()
        record.requests.clear()
        if state is not JobState.DONE:
            record.begin_work()
        record.status = replace(
            record.status, state=state, finished_at=self.clock(), error=error or record.status.error
        )
        self._record_end(record, weights_sha256)
        self.outbox.release(record.status.job_id, job_state=state.value, error=record.status.error)

    def _record_end(self, record: Record, weights_sha256: str) -> None:
        status = record.status
        separation = Separation(
            event_id=f"{status.job_id}@{status.finished_at:.6f}",
            job_id=status.job_id,
            state=status.state,
            finished_at=status.finished_at or 0.0,
            queued_at=record.waits_since,
            started_at=status.started_at,
            options=json.loads(options_json(record.options) or "{}"),
            model=status.model or "",
            requested_model=status.requested_model or "",
            weights_sha256=weights_sha256,
            device=status.device or "",
            attempts=status.attempts,
            error_code=status.error.code if status.error else "",
            audio_s=status.duration_s,
        )
        self.history.add(separation)

    def push_dead_letter(self, payload: bytes, *, reason: str) -> None:
        self.dead_letters.insert(0, json.loads(encode_dead_letter(payload, reason)))
        del self.dead_letters[self.policy.max_dead :]
