"""The in-memory outbox."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from msaas.errors import CallbackNotFound, QueueUnavailable
from msaas.jobs import Callback, JobError
from msaas.queue.outbox import (
    MAX_LISTED,
    REDELIVERABLE,
    Delivery,
    body_of,
    callback_not_ready,
    check_callback_room,
    data_json,
    new_delivery_id,
    size_of,
)
from msaas.queue.protocol import QueuePolicy, Request


class InMemoryOutbox:
    """Implements `msaas.queue.outbox.Outbox`. With `away` set every call raises `QueueUnavailable`."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, policy: QueuePolicy = QueuePolicy()
    ) -> None:
        self.away = False
        self._clock = clock
        self._policy = policy
        #: By delivery, as long as its content is kept.
        self._callbacks: dict[str, Callback] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._due: dict[str, float] = {}
        self._dead: list[str] = []
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)
        #: By delivery. A message that was pushed by hand has none.
        self._requests: dict[str, Request | None] = {}

    def add(self, callback: Callback, *, job_id: str) -> str:
        self._answer()
        delivery_id = new_delivery_id()
        self._keep(delivery_id, callback, job_id=job_id)
        self._release(delivery_id, "done", error=None)
        return delivery_id

    def _keep(self, delivery_id: str, callback: Callback, *, job_id: str) -> None:
        check_callback_room(self._exceeded_limit(callback, job_id=job_id), job_id=job_id)
        self._callbacks[delivery_id] = callback
        self._deliveries[delivery_id] = Delivery(
            id=delivery_id,
            job_id=job_id,
            url=callback.url,
            body=body_of(job_id, state="done", data=data_json(callback)),
            state="waiting",
            attempts=0,
            secret=callback.secret,
        )

    def _exceeded_limit(self, callback: Callback, *, job_id: str) -> str:
        sizes = {each: size_of(kept) for each, kept in self._callbacks.items()}
        of_job = [sizes[each.id] for each in self.deliveries(job_id) if each.id in sizes]
        size = size_of(callback)
        if sum(sizes.values()) + size > self._policy.max_callback_bytes:
            return "outbox_full"
        is_full = len(of_job) >= MAX_LISTED or sum(of_job) + size > self._policy.max_job_callback_bytes
        return "job_full" if is_full else ""

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
        if state in ("delivered", "refused"):
            self._drop_payload(delivery.id)
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

    def expect(
        self, delivery_id: str, callback: Callback, *, job_id: str, request: Request | None = None
    ) -> None:
        """Let a callback wait for its job. It counts once, however often its message is delivered."""
        if delivery_id not in self._deliveries:
            self._keep(delivery_id, callback, job_id=job_id)
            self._waiting[job_id].add(delivery_id)
            self._requests[delivery_id] = request

    def cancel(self, job_id: str, requests: set[Request]) -> None:
        """End the callbacks of requests that were cancelled."""
        meant = {each for each in self._waiting[job_id] if self._requests[each] in requests}
        self._waiting[job_id] -= meant
        for delivery_id in meant:
            self._release(delivery_id, "cancelled", error=None)

    def refuse(self, delivery_id: str, *, job_id: str) -> None:
        """Record a callback that found no room."""
        self._deliveries[delivery_id] = Delivery(
            id=delivery_id,
            job_id=job_id,
            url="",
            body=body_of(job_id, state="done"),
            state="refused",
            attempts=0,
            detail="Too many callbacks wait already.",
        )

    def release(self, job_id: str, *, job_state: str, error: JobError | None) -> None:
        """Make the callbacks of an ended job due, except for those that do not want this end."""
        for delivery_id in self._waiting.pop(job_id, set()):
            self._release(delivery_id, job_state, error=error)

    def _release(self, delivery_id: str, job_state: str, *, error: JobError | None) -> None:
        found, callback = self._deliveries[delivery_id], self._callbacks[delivery_id]
        if not callback.wants(job_state):
            self._deliveries[delivery_id] = replace(found, state="skipped")
            return self._drop_payload(delivery_id)
        told = json.dumps(vars(error)) if error and callback.events and job_state == "failed" else ""
        body = body_of(found.job_id, state=job_state, data=data_json(callback), error=told)
        self._deliveries[delivery_id] = replace(found, state="pending", body=body)
        self._set_due(delivery_id, self._clock())

    def _drop_payload(self, delivery_id: str) -> None:
        found = self._deliveries[delivery_id]
        self._callbacks.pop(delivery_id, None)
        origin = re.match(r"[^/]*//[^/?#]*", found.url)
        self._deliveries[delivery_id] = replace(
            found,
            url=origin[0][:300] if origin else "",
            body=body_of(found.job_id, state="done"),
            secret=None,
        )

    def _set_due(self, delivery_id: str, due_at: float | None) -> None:
        self._deliveries[delivery_id] = replace(self._deliveries[delivery_id], due_at=due_at)
        if due_at is None:
            self._due.pop(delivery_id, None)
        else:
            self._due[delivery_id] = due_at

    def _answer(self) -> None:
        if self.away:
            raise QueueUnavailable("The in-memory outbox is turned off.")
