"""A Redis with the users of start.sh, and clients whose methods run as the service that calls them."""

import os
import shutil
from pathlib import Path
from typing import Any

import redis

from common.tests.backends import POLICY
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.outbox import RedisOutbox
from msaas.queue.redis.song_registry import RedisSongRegistry
from tests.servers import RedisServer

START = Path(__file__).parents[2] / "redis" / "k8s" / "start.sh"
USERS = ("rest", "worker", "keeper", "logs", "client", "operator")
_OF_KEEPER = {
    *("reap", "referenced_songs", "acquire_lock", "extend_lock", "stale_fragments", "forget_fragments"),
    "forget",
}
_OF_DELETIONS = {
    *("begin_deletion", "end_deletion", "removals", "forget_removal"),
    *("has_private_marks", "restore_private_marks", "ensure_private_marks"),
}
_OF_SENDERS = {"receive", "complete", "retry_later"}


def password_of(user: str) -> str:
    return f"password-of-{user}"


class ServerWithUsers(RedisServer):
    """The server as start.sh runs it."""

    def __init__(self, folder: Path, *, binary: str) -> None:
        super().__init__(folder, binary=binary, aof=True)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "redis-server").symlink_to(binary)
        self._start = self._configure(folder / "etc")
        self._environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TMPDIR": str(folder),
            **{f"PASSWORD_{user}": password_of(user) for user in USERS},
        }

    def _configure(self, folder: Path) -> Path:
        """Copy the configuration of the pod, with another folder of the data."""
        shutil.copytree(START.parent, folder)
        config = folder / "redis.conf"
        config.write_text(config.read_text().replace("dir /data", f"dir {folder.parent}"))
        return folder / START.name

    def commands(self) -> list[list[str]]:
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        ((_, *options),) = super().commands()
        return [["env", *variables, "sh", str(self._start), *options]]

    def client(self, user: str = "operator") -> redis.Redis:
        return redis.Redis(port=self.port, username=user, password=password_of(user))

    def address_of(self, user: str) -> RedisAddress:
        return RedisAddress("127.0.0.1", self.port, username=user, password=password_of(user))

    def denials(self) -> list[str]:
        log: list[dict[str, Any]] = self.client().acl_log()
        return [f"{each['username']}: {each['reason']} {each['object']}" for each in log]


class SharedQueue:
    """A queue whose methods run with the user of the service that calls them."""

    def __init__(self, server: ServerWithUsers) -> None:
        self._queues = {
            user: RedisQueue(server.address_of(user), policy=POLICY) for user in ("rest", "worker", "keeper")
        }

    def __getattr__(self, name: str) -> Any:
        user = "worker" if name == "consumer" else "keeper" if name in _OF_KEEPER else "rest"
        return getattr(self._queues[user], name)


class SharedRegistry:
    """A song registry whose deletions are done by the keeper, and all else by rest."""

    def __init__(self, server: ServerWithUsers) -> None:
        self._registries = {user: RedisSongRegistry(server.address_of(user)) for user in ("rest", "keeper")}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registries["keeper" if name in _OF_DELETIONS else "rest"], name)


class SharedOutbox:
    """An outbox whose deliveries the keeper receives and the worker ends, and all else is done by rest."""

    def __init__(self, server: ServerWithUsers) -> None:
        self._outboxes = {
            user: RedisOutbox(server.address_of(user), policy=POLICY) for user in ("rest", "worker", "keeper")
        }

    def __getattr__(self, name: str) -> Any:
        user = "rest" if name not in _OF_SENDERS else "keeper" if name == "receive" else "worker"
        return getattr(self._outboxes[user], name)
