"""Requests with an idempotency key, in Redis."""

import hashlib
from typing import Any

from msaas.queue.idempotency import (
    IN_PROGRESS_S,
    KEPT_S,
    MAX_ALL,
    MAX_OWN,
    IdempotentRequest,
    record_of,
)
from msaas.queue.redis.clients import RedisAddress, connect, our_errors
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts


class RedisIdempotency:
    """Implements `msaas.queue.idempotency.Idempotency`."""

    def __init__(
        self, address: RedisAddress, *, keys: Keys = Keys(), max_own: int = MAX_OWN, max_all: int = MAX_ALL
    ) -> None:
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)
        self._keys = keys
        self._limits = {"max_own": max_own, "max_all": max_all}

    def knows(self, owner: str, key: str) -> bool:
        with our_errors():
            return bool(self._redis.exists(self._keys.idempotent(record_of(owner, key))))

    def begin(self, request: IdempotentRequest) -> dict[str, Any] | None:
        # An owner may be a key of the API, and names of keys are seen by every user of Redis.
        owner = hashlib.sha256(request.owner.encode()).hexdigest()
        with our_errors():
            earlier = self._scripts.call(
                "begin_request",
                keys={
                    "record": self._keys.idempotent(request.record),
                    "all_records": self._keys.idempotent_of(""),
                    "own_records": self._keys.idempotent_of(owner),
                },
                args={
                    "value": request.encode(),
                    "ttl": IN_PROGRESS_S,
                    "name": request.record,
                    "prefix": self._keys.idempotent(""),
                    "kept_s": KEPT_S,
                    **self._limits,
                },
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
