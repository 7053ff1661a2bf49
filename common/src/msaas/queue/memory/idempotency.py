"""Requests with an idempotency key, in memory."""

import time
from collections.abc import Callable
from typing import Any

from msaas.queue.idempotency import IN_PROGRESS_S, KEPT_S, IdempotentRequest


class InMemoryIdempotency:
    """Implements `msaas.queue.idempotency.Idempotency`."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: By the name of the record: its bytes and the end of its life.
        self._records: dict[str, tuple[bytes, float]] = {}

    def begin(self, request: IdempotentRequest) -> dict[str, Any] | None:
        record, ends_at = self._records.get(request.record, (b"", 0.0))
        if ends_at > self._clock():
            return request.read_reply(record)
        self._records[request.record] = (request.encode(), self._clock() + IN_PROGRESS_S)
        return None

    def complete(self, request: IdempotentRequest, *, reply: dict[str, Any]) -> None:
        if self._is_ours(request):
            self._records[request.record] = (request.encode(reply), self._clock() + KEPT_S)

    def release(self, request: IdempotentRequest) -> None:
        if self._is_ours(request):
            del self._records[request.record]

    def _is_ours(self, request: IdempotentRequest) -> bool:
        record, ends_at = self._records.get(request.record, (b"", 0.0))
        return ends_at > self._clock() and record == request.encode()
