"""Rate limits: a moving window in Redis, which all pods share."""

import time
from collections.abc import Iterable

from flask import Request, Response, after_this_request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import RedisStorage, Storage
from limits.strategies import MovingWindowRateLimiter

from msaas.bootstrap import redis_address, redis_keys
from msaas.errors import QueueUnavailable, TooManyRequests
from msaas.queue.redis.clients import connect
from msaas.settings import QueueSettings

#: Key of the environment of a request that is counted already. A request with a body runs twice.
_COUNTED = "msaas.counted"


def open_storage(settings: QueueSettings) -> Storage:
    """Return the store of the counters. Nothing is sent before its first use."""
    return RedisStorage(
        "redis://",
        connection_pool=connect(redis_address(settings)).connection_pool,
        key_prefix=redis_keys(settings).rates,
        wrap_exceptions=True,
    )


def parse_rates(text: str) -> list[RateLimitItem]:
    """Read `100/minute; 1000/hour`, the shortest first."""
    return sorted(parse_many(text))


class Limiter:
    """Counts by name."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = MovingWindowRateLimiter(storage)

    def count(self, rates: Iterable[RateLimitItem], *names: str) -> None:
        """Count a call.

        Fail closed without Redis: nothing could be queued anyway, and a second timeout would only delay the
        answer.

        Raises:
            TooManyRequests: the answer has the seconds to wait in `Retry-After`.
            QueueUnavailable: Redis does not answer.
        """
        try:
            for rate in rates:
                self._count(rate, *names)
        except StorageError:
            raise QueueUnavailable(
                "The store of the rate limiter is unavailable. Try again in 5 s."
            ) from None

    def _count(self, rate: RateLimitItem, *names: str) -> None:
        if not self._limiter.hit(rate, *names):
            wait_s = self._limiter.get_window_stats(rate, *names).reset_time - time.time()
            _set_retry_after(max(1, round(wait_s)))
            raise TooManyRequests(f"The limit is {rate}. Try again later.")


class RateLimit:
    """The limit of each client's requests, as in `100/minute; 1000/hour`."""

    def __init__(self, rates: str, *, limiter: Limiter) -> None:
        self._rates = parse_rates(rates)
        self._limiter = limiter

    def check(self, request: Request, *, client: str) -> None:
        """Count the request of the client. Raises as `Limiter.count` does."""
        if request.environ.get(_COUNTED):
            return
        request.environ[_COUNTED] = True
        self._limiter.count(self._rates, client)


def _set_retry_after(seconds: int) -> None:
    @after_this_request
    def add(response: Response) -> Response:
        response.headers["Retry-After"] = str(seconds)
        return response
