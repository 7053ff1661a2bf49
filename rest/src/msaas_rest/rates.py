"""How often a client may call: a moving window in Redis, so that all pods count together."""

import ipaddress
import time

from flask import Flask, Response, g, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import parse_many
from limits.errors import StorageError

from msaas.errors import QueueUnavailable, TooManyRequests
from msaas.redis_clients import RedisAddress, connect
from msaas.redis_keys import Keys
from msaas_rest.problems import problem

#: A home or a machine has this much of IPv6 for itself.
_IPV6_CLIENT_BITS = 64


def parse_rate(text: str) -> str:
    """Return `text` if it says rates, as in `100/minute; 1000/hour`. Raises `ValueError`."""
    parse_many(text)
    return text


def limit_rates(app: Flask, *, rate: str, address: RedisAddress, keys: Keys, prefix: str) -> None:
    """Refuse what a client calls under `prefix` beyond `rate`.

    While Redis is away nobody is let in: a limit that opens when the house is in trouble is none, little
    works then anyway, and a silent Redis would be waited for twice.
    """
    limiter = Limiter(
        client,
        app=app,
        application_limits=[rate],
        strategy="moving-window",
        storage_uri="redis://",
        storage_options={
            "connection_pool": connect(address).connection_pool,
            "key_prefix": keys.rates,
            "wrap_exceptions": True,
        },
    )
    limiter.request_filter(lambda: not request.path.startswith(prefix))

    def refuse(error: RateLimitExceeded) -> Response:
        breached = limiter.current_limit
        wait_s = breached.reset_at - time.time() if breached else 0
        return problem(TooManyRequests(f"At most {error.description}."), retry_after_s=max(1, round(wait_s)))

    app.register_error_handler(RateLimitExceeded, refuse)
    app.register_error_handler(StorageError, lambda _: problem(QueueUnavailable("Nobody counts the calls.")))


def client() -> str:
    """Who calls: the owner of a key, else an address."""
    if "key_digest" in g:
        return str(g.key_digest.hex())
    address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - nobody binds to it
    if address.version == 6:
        return str(ipaddress.ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)
