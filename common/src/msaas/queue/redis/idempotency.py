"""Requests with an idempotency key, in Redis."""

from typing import Any

from msaas.queue.idempotency import IN_PROGRESS_S, KEPT_S, IdempotentRequest
from msaas.queue.redis.clients import RedisAddress, connect, our_errors
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts


class RedisIdempotency:
    """Implements `msaas.queue.idempotency.Idempotency`."""

    def __init__(self, address: RedisAddress, *, keys: Keys = Keys()) -> None:
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)
        self._keys = keys

    def begin(self, request: IdempotentRequest) -> dict[str, Any] | None:
        with our_errors():
            earlier = self._redis.set(
                self._keys.idempotent(request.record), request.encode(), nx=True, get=True, ex=IN_PROGRESS_S
            )
        return None if earlier is None else request.read_reply(earlier)

    def complete(self, request: IdempotentRequest, *, reply: dict[str, Any]) -> None:
        self._settle(request, request.encode(reply))

    def release(self, request: IdempotentRequest) -> None:
        self._settle(request, b"")

    def _settle(self, request: IdempotentRequest, value: bytes) -> None:
        with our_errors():
            self._scripts.call(
                "settle_request",
                keys={"record": self._keys.idempotent(request.record)},
                args={"expected": request.encode(), "value": value, "ttl": KEPT_S},
            )
