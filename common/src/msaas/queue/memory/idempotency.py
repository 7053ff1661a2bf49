"""Requests with an idempotency key, in memory."""

import time
from collections.abc import Callable
from typing import Any

from msaas.queue.idempotency import IN_PROGRESS_S, KEPT_S, MAX_ALL, MAX_OWN, IdempotentRequest, record_of


class InMemoryIdempotency:
    """Implements `msaas.queue.idempotency.Idempotency`."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, max_own: int = MAX_OWN, max_all: int = MAX_ALL
    ) -> None:
        self._clock = clock
        self._max_own = max_own
        self._max_all = max_all
        #: Records by the time of their beginning, and their owners.
        self._owners: dict[str, str] = {}
        #: By the name of the record: its bytes and the end of its life.
        self._records: dict[str, tuple[bytes, float]] = {}

    def knows(self, owner: str, key: str) -> bool:
        _, ends_at = self._records.get(record_of(owner, key), (b"", 0.0))
        return ends_at > self._clock()

    def begin(self, request: IdempotentRequest) -> dict[str, Any] | None:
        record, ends_at = self._records.get(request.record, (b"", 0.0))
        if ends_at > self._clock():
            return request.read_reply(record)
        self._records[request.record] = (request.encode(), self._clock() + IN_PROGRESS_S)
        self._owners.pop(request.record, None)
        self._owners[request.record] = request.owner
        own = [name for name, owner in self._owners.items() if owner == request.owner]
        for name in own[: -self._max_own]:
            self._forget(name)
        for name in list(self._owners)[: -self._max_all]:
            self._forget(name)
        return None

    def _forget(self, name: str) -> None:
        self._records.pop(name, None)
        del self._owners[name]

    def complete(self, request: IdempotentRequest, *, reply: dict[str, Any]) -> None:
        if self._is_ours(request):
            self._records[request.record] = (request.encode(reply), self._clock() + KEPT_S)

    def release(self, request: IdempotentRequest) -> None:
        if self._is_ours(request):
            del self._records[request.record]

    def _is_ours(self, request: IdempotentRequest) -> bool:
        record, ends_at = self._records.get(request.record, (b"", 0.0))
        return ends_at > self._clock() and record == request.encode()
