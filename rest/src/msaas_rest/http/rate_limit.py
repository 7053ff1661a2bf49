"""Rate limit: a moving window in Redis, which all pods share."""

import time

from flask import Request, Response, after_this_request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from msaas.bootstrap import redis_address, redis_keys
from msaas.errors import QueueUnavailable, TooManyRequests
from msaas.queue.redis.clients import connect
from msaas.settings import QueueSettings
from msaas_rest.http.api_keys import ApiKeys
from msaas_rest.http.clients import client_of

#: Key of the environment of a request that is counted already. A request with a body runs twice.
_COUNTED = "msaas.counted"


class RateLimit:
    """The limit of each client's requests, as in `100/minute; 1000/hour`."""

    def __init__(self, rates: str, *, settings: QueueSettings, keys: ApiKeys) -> None:
        self._keys = keys
        self._rates = sorted(parse_many(rates))
        storage = RedisStorage(
            "redis://",
            connection_pool=connect(redis_address(settings)).connection_pool,
            key_prefix=redis_keys(settings).rates,
            wrap_exceptions=True,
        )
        self._limiter = MovingWindowRateLimiter(storage)

    def check(self, request: Request) -> None:
        """Count the request.

        Fail closed without Redis: nothing could be queued anyway, and a second timeout would only delay the
        answer.

        Raises:
            TooManyRequests: the answer has the seconds to wait in `Retry-After`.
            QueueUnavailable: Redis does not answer.
        """
        if request.environ.get(_COUNTED):
            return
        request.environ[_COUNTED] = True
        try:
            for rate in self._rates:
                self._count(rate, client_of(request, keys=self._keys))
        except StorageError:
            raise QueueUnavailable(
                "The store of the rate limiter is unavailable. Try again in 5 s."
            ) from None

    def _count(self, rate: RateLimitItem, caller: str) -> None:
        if not self._limiter.hit(rate, caller):
            wait_s = self._limiter.get_window_stats(rate, caller).reset_time - time.time()
            _set_retry_after(max(1, round(wait_s)))
            raise TooManyRequests(f"The limit is {rate}. Try again later.")


def _set_retry_after(seconds: int) -> None:
    @after_this_request
    def add(response: Response) -> Response:
        response.headers["Retry-After"] = str(seconds)
        return response
