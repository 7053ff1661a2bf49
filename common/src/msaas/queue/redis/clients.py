"""Two kinds of Redis client: one that answers soon or fails, one that may block on a list."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from msaas.errors import QueueFull, QueueUnavailable

#: An API call has 2 s to say that the queue is away.
COMMAND_TIMEOUT_S = 1.0
#: A blocking call must come back before its socket gives up.
BLOCK_S = 1.0
#: Limit of a call that may block.
BLOCKING_TIMEOUT_S = BLOCK_S + 2 * COMMAND_TIMEOUT_S
_FULL = "The queue is full: Redis is at its memory limit. Try again later."


@dataclass(frozen=True)
class RedisAddress:
    host: str = "localhost"
    port: int = 6379
    db: int = 0
    password: str | None = None
    username: str | None = None


#: redis-py's own annotations cover text and bytes, sync and async at once. Ours is always sync and bytes.
Client = Any


class Connect(Protocol):
    """Makes a client. Nothing is sent before its first use."""

    def __call__(self, address: RedisAddress, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Client: ...


def connect(address: RedisAddress, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Client:
    """Return a client. Nothing is sent before its first use.

    redis-py's silent retries are off: a retried pop can lose or double a job.
    """
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.username,
        password=address.password,
        socket_timeout=timeout_s,
        socket_connect_timeout=COMMAND_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


def connect_blocking(address: RedisAddress) -> Client:
    return connect(address, timeout_s=BLOCKING_TIMEOUT_S)


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn errors of redis-py into `QueueUnavailable`, out-of-memory errors into `QueueFull`."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError:
        raise QueueFull(_FULL) from None
    except redis.exceptions.ResponseError as error:
        if "OOM" in str(error):
            raise QueueFull(_FULL) from None
        raise QueueUnavailable(f"The queue is unavailable (Redis: {error}).") from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise QueueUnavailable(
            f"The queue is unavailable (Redis: {type(error).__name__}). Try again in 5 s."
        ) from error
