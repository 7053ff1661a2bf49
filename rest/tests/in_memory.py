"""The app without a server: Flask's test client on the in-memory queue, outbox and store."""

import re
from typing import Any, BinaryIO

from flask.testing import FlaskClient
from limits.storage import MemoryStorage
from rest.tests.described import check_replies
from werkzeug.test import TestResponse

from msaas.queue.memory import InMemoryOutbox, InMemoryQueue, InMemorySongRegistry
from msaas.queue.memory.idempotency import InMemoryIdempotency
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.queue.songs import SongQueue
from msaas.songs import ID_PATTERN
from msaas.storage.memory import InMemoryStore
from msaas.storage.protocol import ObjectStore, StoredObject
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue
from msaas_rest.app import create_app
from msaas_rest.bootstrap import bootstrap
from msaas_rest.http.rate_limit import Limiter
from msaas_rest.settings import RestSettings

#: Names of objects that a request may ask for, besides fragments.
KEY = re.compile(ID_PATTERN + r"(-[a-z]+)?\.(mp3|json)")


def client_on(
    *,
    store: ObjectStore | None = None,
    queue: JobQueue | None = None,
    registry: SongRegistry | None = None,
    catalogue: Catalogue | None = None,
    song_queue: SongQueue | None = None,
    **settings: Any,
) -> FlaskClient:
    """Return a client of an app with these settings. `store_dir` among them replaces the in-memory store."""
    in_memory = None if "store_dir" in settings else SongStore(store or InMemoryStore())
    deps = bootstrap(
        RestSettings(**settings),
        queue=queue or InMemoryQueue(),
        registry=registry or InMemorySongRegistry(),
        outbox=InMemoryOutbox(),
        song_store=in_memory,
        idempotency=InMemoryIdempotency(),
        catalogue=catalogue,
        song_queue=song_queue,
        # Limits are counted in Redis where a test names one.
        limiter=None if "redis_host" in settings else Limiter(MemoryStorage()),
    )
    app = create_app(deps)
    check_replies(app)
    return app.test_client()


def send(client: FlaskClient, mp3: bytes, *, query: str = "", **kwargs: Any) -> TestResponse:
    """Send a song as a raw body."""
    return client.post(f"/apiv1/separate{query}", data=mp3, content_type="audio/mpeg", **kwargs)


class RecordingStore(InMemoryStore):
    """Records every key it was asked for, and the bytes that were read."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()
        self.bytes_read = 0

    def get(self, bucket: str, key: str, **span: Any):  # type: ignore[no-untyped-def]
        self.keys.add(key)
        for chunk in super().get(bucket, key, **span):
            self.bytes_read += len(chunk)
            yield chunk

    def stat(self, bucket: str, key: str) -> StoredObject:
        self.keys.add(key)
        return super().stat(bucket, key)

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        self.keys.add(key)
        super().put(bucket, key, data, size_bytes=size_bytes, if_match=if_match)

    def delete(self, bucket: str, key: str) -> None:
        self.keys.add(key)
        super().delete(bucket, key)
