"""A system with a queue on disk and a store, and processes that a test may kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.songs import TUNES, song
from tests.receiver import Receiver
from tests.servers import RedisServer
from tests.system import System, open_system
from tests.unattended import stems_of


@pytest.fixture
def system(own_redis: RedisServer, tmp_path: Path) -> System:
    return open_system(tmp_path, own_redis, CALLBACK_ALLOW_PRIVATE="1")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """The stems of every tune, made in this process without faults."""
    return {number: stems_of(song(number), tmp_path_factory.mktemp("tune")) for number in range(TUNES)}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
