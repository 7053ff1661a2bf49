"""The in-memory outbox."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from msaas.errors import CallbackNotFound, QueueUnavailable
from msaas.jobs import Callback
from msaas.queue.protocol import (
    MAX_LISTED,
    REDELIVERABLE,
    Delivery,
    callback_not_ready,
    new_delivery_id,
)


class InMemoryOutbox:
    """Implements `msaas.queue.protocol.Outbox`. With `away` set every call raises `QueueUnavailable`."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.away = False
        self._clock = clock
        self._deliveries: dict[str, Delivery] = {}
        self._due: dict[str, float] = {}
        self._dead: list[str] = []
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, callback: Callback, *, job_id: str) -> str:
        self._answer()
        delivery_id = new_delivery_id()
        self._deliveries[delivery_id] = _delivery(delivery_id, callback, job_id)
        self._release(delivery_id, "done")
        return delivery_id

    def receive(self, *, visibility_s: float, first_only: bool = False) -> Delivery | None:
        self._answer()
        now = self._clock()
        for delivery_id, due_at in sorted(self._due.items(), key=lambda item: (item[1], item[0])):
            found = self._deliveries[delivery_id]
            if due_at <= now and not (first_only and found.attempts):
                self._deliveries[delivery_id] = found = replace(found, attempts=found.attempts + 1)
                self._set_due(delivery_id, now + visibility_s)
                return found
        return None

    def complete(self, delivery: Delivery, *, state: str, detail: str = "") -> None:
        self._settle(delivery, state=state, detail=detail, due_at=None)

    def retry_later(self, delivery: Delivery, *, delay_s: float, detail: str = "") -> None:
        self._settle(delivery, state="pending", detail=detail, due_at=self._clock() + delay_s)

    def _settle(self, delivery: Delivery, *, state: str, detail: str, due_at: float | None) -> None:
        self._answer()
        found = self._deliveries[delivery.id]
        if found.attempts != delivery.attempts:
            return
        self._deliveries[delivery.id] = replace(found, state=state, detail=detail)
        self._set_due(delivery.id, due_at)
        if state == "dead":
            self._dead.insert(0, delivery.id)

    def redeliver(self, delivery_id: str, *, job_id: str) -> Delivery:
        self._answer()
        found = self._deliveries.get(delivery_id)
        if found is None or found.job_id != job_id:
            raise CallbackNotFound(f"Job {job_id} has no callback {delivery_id}.")
        if found.state not in REDELIVERABLE:
            raise callback_not_ready(delivery_id, state=found.state)
        self._deliveries[delivery_id] = replace(found, state="pending", attempts=0, detail="")
        self._dead = [each for each in self._dead if each != delivery_id]
        self._set_due(delivery_id, self._clock())
        return self._deliveries[delivery_id]

    def deliveries(self, job_id: str) -> list[Delivery]:
        self._answer()
        return [each for each in self._deliveries.values() if each.job_id == job_id][-MAX_LISTED:]

    def dead(self) -> list[Delivery]:
        self._answer()
        return [self._deliveries[each] for each in self._dead]

    def expect(self, delivery_id: str, callback: Callback, *, job_id: str) -> None:
        """Let a callback wait for its job. It counts once, however often its message is delivered."""
        if delivery_id not in self._deliveries:
            self._deliveries[delivery_id] = _delivery(delivery_id, callback, job_id)
            self._waiting[job_id].add(delivery_id)

    def release(self, job_id: str, *, job_state: str) -> None:
        """Make the callbacks of an ended job due. After a failure, those with `data` are skipped."""
        for delivery_id in self._waiting.pop(job_id, set()):
            waiting = self._deliveries[delivery_id]
            if job_state == "done" or waiting.body == _plain(job_id, "done"):
                self._release(delivery_id, job_state)
            else:
                self._deliveries[delivery_id] = replace(waiting, state="skipped")

    def _release(self, delivery_id: str, job_state: str) -> None:
        found = self._deliveries[delivery_id]
        body = found.body if job_state == "done" else _plain(found.job_id, job_state)
        self._deliveries[delivery_id] = replace(found, state="pending", body=body)
        self._set_due(delivery_id, self._clock())

    def _set_due(self, delivery_id: str, due_at: float | None) -> None:
        self._deliveries[delivery_id] = replace(self._deliveries[delivery_id], due_at=due_at)
        if due_at is None:
            self._due.pop(delivery_id, None)
        else:
            self._due[delivery_id] = due_at

    def _answer(self) -> None:
        if self.away:
            raise QueueUnavailable("The in-memory outbox is turned off.")


def _delivery(delivery_id: str, callback: Callback, job_id: str) -> Delivery:
    plain = callback.data is None
    body = _plain(job_id, "done") if plain else json.dumps(callback.data).encode()
    return Delivery(
        id=delivery_id,
        job_id=job_id,
        url=callback.url,
        body=body,
        state="waiting",
        attempts=0,
        secret=callback.secret,
    )


def _plain(job_id: str, state: str) -> bytes:
    return json.dumps({"songhash": job_id, "state": state}).encode()
