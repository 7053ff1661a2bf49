"""Rate limit: a moving window in Redis, which all pods share."""

import ipaddress
import time
from contextlib import suppress

from flask import Request, Response, after_this_request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from msaas.bootstrap import redis_address, redis_keys
from msaas.errors import QueueUnavailable, TooManyRequests, Unauthorized
from msaas.queue.redis.clients import connect
from msaas.settings import Settings
from msaas_rest.http.api_keys import ApiKeys

#: One client has a whole IPv6 network of this size.
_IPV6_CLIENT_BITS = 64


class RateLimit:
    """The limit of each client's requests, as in `100/minute; 1000/hour`."""

    def __init__(self, rates: str, *, settings: Settings, keys: ApiKeys) -> None:
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
        try:
            for rate in self._rates:
                self._count(rate, client(request, keys=self._keys))
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


def client(request: Request, *, keys: ApiKeys) -> str:
    """Return the key of the caller, or its address. Requests with a wrong key count for the address."""
    with suppress(Unauthorized):
        if keys:
            return keys.check(request.headers.get("Authorization")).hex()
    address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - compared only
    if address.version == 6:
        return str(ipaddress.ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)
