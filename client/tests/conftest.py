"""A stack with a worker and one without, which the tests of a process share."""

import signal
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from client.tests.stack import Stack, running_stack
from msaas_client import Client
from tests.faults.songs import song

KEY = "the-secret-key-of-the-tests"

# A run in the background of a shell ignores Ctrl-C, and the commands that it starts would do so as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with a worker."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def idle_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service without a worker: jobs wait."""
    with running_stack(tmp_path_factory.mktemp("idle"), workers=0) as stack:
        yield stack


@pytest.fixture(scope="session")
def keyed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with a key and a rate limit, and without a worker."""
    folder = tmp_path_factory.mktemp("keyed")
    with running_stack(folder, workers=0, API_KEYS=KEY, RATE_LIMIT="3/second") as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


@pytest.fixture
def songs(tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    """Two songs that no other test has."""
    return write_songs(tmp_path, request, count=2)


@pytest.fixture
def song_file(songs: list[Path]) -> Path:
    return songs[0]


def write_songs(
    folder: Path, request: pytest.FixtureRequest, *, count: int, seconds: float = 2.0
) -> list[Path]:
    """Write songs that no other test writes: the tests share one stack."""
    first = crc32(request.node.nodeid.encode()) % 10**9
    paths = [folder / f"song {number}.mp3" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(song(first + number, seconds=seconds))
    return paths
