"""What the queue in memory holds, and the steps its two ends share."""

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from msaas.errors import QueueUnavailable
from msaas.jobs import JobError, JobState, JobStatus
from msaas.pieces import Pieces
from msaas.queue import QueuePolicy, dead_letter
from msaas.testing.outbox import InMemoryOutbox


@dataclass
class Record:
    """What is known of a job; `payload` is the entry that stands for it."""

    status: JobStatus
    payload: bytes
    token: str = ""
    worker: str = ""
    lease_until: float = 0.0
    give_backs: int = 0
    finished_by: str = ""

    def drop_lease(self) -> None:
        self.token, self.worker, self.lease_until = "", "", 0.0
        self.status = replace(self.status, pieces=None)


class Ledger:
    """With `away` set nothing answers, with `full` no job is taken."""

    def __init__(
        self, *, policy: QueuePolicy = QueuePolicy(), clock: Callable[[], float] = time.time
    ) -> None:
        self.away = False
        self.full = False
        self.policy = policy
        self.clock = clock
        self.outbox = InMemoryOutbox(clock=clock)
        #: Next first.
        self.entries: deque[bytes] = deque()
        self.delayed: dict[bytes, float] = {}
        self.jobs: dict[str, Record] = {}
        #: By worker, in the order in which they were taken.
        self.own: defaultdict[str, list[bytes]] = defaultdict(list)
        self.claims: defaultdict[str, dict[bytes, str]] = defaultdict(dict)
        self.workers: dict[str, float] = {}
        #: By task: until when it is nobody's turn.
        self.turns: dict[str, float] = {}
        #: By attempt.
        self.pieces: dict[str, Pieces] = {}
        #: Newest first.
        self.letters: list[dict[str, object]] = []

    def answer(self) -> None:
        if self.away:
            raise QueueUnavailable("Turned off.")

    def requeue(self, record: Record, payload: bytes) -> None:
        record.drop_lease()
        record.status = replace(record.status, state=JobState.QUEUED, progress=0.0)
        self.entries.appendleft(payload)

    def end(self, record: Record, state: JobState, *, error: JobError | None = None) -> None:
        record.drop_lease()
        record.status = replace(
            record.status, state=state, finished_at=self.clock(), error=error or record.status.error
        )
        self.outbox.release(record.status.songhash, job_state=state.value)

    def lay_with_the_dead(self, payload: bytes, *, reason: str) -> None:
        self.letters.insert(0, json.loads(dead_letter(payload, reason)))
        del self.letters[self.policy.max_dead :]
