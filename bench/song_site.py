"""A running songs API for measurements: `rest` with a database, an empty Redis and a directory store."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rest.tests.service import Service, start_service

from tests.servers import RedisServer, redis_running


@dataclass(frozen=True)
class SongSite:
    service: Service
    redis: RedisServer
    #: Folder of the store.
    store: Path


@contextmanager
def serving_songs(database_url: str) -> Iterator[SongSite]:
    """Serve until the context ends. A client may name its address by `X-Forwarded-For`."""
    with tempfile.TemporaryDirectory() as name, redis_running(Path(name) / "redis") as redis:
        store = Path(name) / "store"
        store.mkdir()
        service = start_service(
            Path(name),
            REDIS_HOST=redis.address.host,
            REDIS_PORT=str(redis.address.port),
            STORE_DIR=str(store),
            DATABASE_URL=database_url,
            TRUSTED_PROXIES="127.0.0.1",
        )
        try:
            yield SongSite(service, redis, store)
        finally:
            service.kill()
