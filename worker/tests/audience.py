"""An attempt under way, and the parts that publish its pieces, in this process."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from msaas.fragments import Fragments
from msaas.jobs import Job
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import Claim, Consumer, QueuePolicy
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import FRAGMENT_SUFFIX, SongStore
from msaas_worker.job.lease import Lease
from tests.servers import wait_until

#: No test here lasts as long.
POLICY = QueuePolicy(lease_s=600.0)


class PieceStore(DirectoryStore):
    """Remembers the pieces that were ever stored, by name; `on_piece` and `on_manifest` come just before."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.heard: dict[str, bytes] = {}
        self.on_piece: Callable[[str], object] = lambda key: None
        self.on_manifest: Callable[[], object] = lambda: None

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        if key.endswith(FRAGMENT_SUFFIX):
            self.on_piece(key)
        if key.endswith(".json"):
            self.on_manifest()
        super().put(bucket, key, data, size_bytes=size_bytes)
        if key.endswith(FRAGMENT_SUFFIX):
            self.heard[key] = b"".join(self.get(bucket, key))

    def joined(self, stem: str) -> bytes:
        """Return what a player has heard that took the pieces of this stem one after the other."""
        named = {int(key.split(".")[-2]): mp3 for key, mp3 in self.heard.items() if f"-{stem}." in key}
        assert sorted(named) == list(range(1, len(named) + 1))
        return b"".join(named[number] for number in sorted(named))


class Attempt:
    """A claimed job and its lease."""

    def __init__(self, folder: Path, *, job_id: str = "a" * 64) -> None:
        self.job_id = job_id
        self.queue = InMemoryQueue(policy=POLICY)
        self.store = PieceStore(folder / "store")
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.consumer: Consumer = self.queue.consumer("w1")
        self.claim = self.claimed()
        self.lease = Lease(self.consumer, self.claim, policy=POLICY)

    def claimed(self) -> Claim:
        self.queue.enqueue(Job(job_id=self.job_id))
        payload = self.consumer.take(timeout_s=1)
        assert payload is not None
        return self.consumer.claim(Job.decode(payload), payload=payload)

    def shown(self) -> Fragments | None:
        status = self.queue.status(self.job_id)
        return status.fragments if status else None


def wait_until_published() -> None:
    """Return when every publisher of this process has come to its end."""
    wait_until(lambda: not any(each.name == "publish" for each in threading.enumerate()), timeout_s=60)
