"""A running attempt on the in-memory queue, and a store that remembers its fragments."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from msaas.fragments import Fragments
from msaas.heartbeat import Beat, no_heartbeat
from msaas.jobs import Job
from msaas.queue.consumer import Claim, Consumer
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import QueuePolicy
from msaas.storage.directory import DirectoryStore
from msaas.storage.names import FRAGMENT_SUFFIX, PEAKS_SUFFIX
from msaas.storage.song_store import SongStore
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.supervision.watchdog import OnStall, end_stalled

#: No test takes as long as this lease.
POLICY = QueuePolicy(lease_s=600.0)
JOB_ID = "a" * 64


class FragmentStore(DirectoryStore):
    """Remembers every fragment that was stored, by name. `on_fragment` is called just before."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fragments: dict[str, bytes] = {}
        self.on_fragment: Callable[[str], object] = lambda key: None

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        is_mp3 = key.endswith(FRAGMENT_SUFFIX) and PEAKS_SUFFIX not in key
        if is_mp3:
            self.on_fragment(key)
        super().put(bucket, key, data, size_bytes=size_bytes, if_match=if_match)
        if is_mp3:
            self.fragments[key] = b"".join(self.get(bucket, key))

    def joined(self, stem: str) -> bytes:
        """Return all fragments of this stem in their order."""
        by_number = {fragment_number(key): mp3 for key, mp3 in self.fragments.items() if f"-{stem}." in key}
        assert sorted(by_number) == list(range(1, len(by_number) + 1))
        return b"".join(by_number[number] for number in sorted(by_number))


def fragment_number(key: str) -> int:
    return int(key.split(".")[-2])


class RunningAttempt:
    """A claimed job: its queue, its store and `attempt`, whose lease is renewed only inside its context."""

    def __init__(
        self,
        folder: Path,
        *,
        queue_policy: QueuePolicy = POLICY,
        policy: WorkerPolicy = WorkerPolicy(),
        on_stall: OnStall = end_stalled,
        heartbeat: Beat = no_heartbeat,
    ) -> None:
        self.queue = InMemoryQueue(policy=queue_policy)
        self.store = FragmentStore(folder / "store")
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.consumer: Consumer = self.queue.consumer("w1")
        self.claim = self._claim()
        self.attempt = LeasedAttempt(
            self.consumer,
            claim=self.claim,
            song_store=self.song_store,
            queue_policy=queue_policy,
            policy=policy,
            on_stall=on_stall,
            heartbeat=heartbeat,
        )

    def _claim(self) -> Claim:
        self.queue.enqueue(Job(job_id=JOB_ID))
        payload = self.consumer.take(timeout_s=1)
        assert payload is not None
        return self.consumer.claim(Job.decode(payload), payload=payload)

    def published(self) -> Fragments | None:
        """Return the fragments that clients see."""
        status = self.queue.status(JOB_ID)
        return status.fragments if status else None
