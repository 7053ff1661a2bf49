"""The outbox on Redis: a sorted set of deliveries by due time, and a hash for each."""

import json

from msaas.errors import CallbackNotFound
from msaas.jobs import Callback
from msaas.queue.outbox import (
    REDELIVERABLE,
    Delivery,
    body_of,
    callback_not_ready,
    check_callback_room,
    new_delivery_id,
)
from msaas.queue.protocol import QueuePolicy
from msaas.queue.redis.clients import RedisAddress, connect, our_errors
from msaas.queue.redis.fields import callback_json, limits_json, text
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts


class RedisOutbox:
    """Implements `msaas.queue.outbox.Outbox`."""

    def __init__(
        self, address: RedisAddress, *, keys: Keys = Keys(), policy: QueuePolicy = QueuePolicy()
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)

    def add(self, callback: Callback, *, job_id: str) -> str:
        delivery_id, keys = new_delivery_id(), self._keys
        with our_errors():
            added = self._scripts.call(
                "add_delivery",
                keys={
                    "outbox": keys.outbox,
                    "deliveries": keys.deliveries(job_id),
                    "held": keys.held,
                    "held_bytes": keys.held_bytes,
                },
                args={
                    "delivery_id": delivery_id,
                    "job_id": job_id,
                    "callback": callback_json(callback),
                    "ttl": self._policy.job_ttl_s,
                    "limits": limits_json(self._policy),
                    "delivery_prefix": keys.delivery_prefix,
                },
            )
        check_callback_room(text(added), job_id=job_id)
        return delivery_id

    def receive(self, *, visibility_s: float, first_only: bool = False) -> Delivery | None:
        with our_errors():
            found = self._scripts.call(
                "receive",
                keys={"outbox": self._keys.outbox},
                args={
                    "visibility": visibility_s,
                    "delivery_prefix": self._keys.delivery_prefix,
                    "max_attempts": 0 if first_only else "inf",
                },
            )
        if not found:
            return None
        delivery_id, flat = found
        return _delivery(delivery_id, dict(zip(flat[::2], flat[1::2], strict=True)))

    def complete(self, delivery: Delivery, *, state: str, detail: str = "") -> None:
        self._end_attempt(delivery, state=state, detail=detail, delay="")

    def retry_later(self, delivery: Delivery, *, delay_s: float, detail: str = "") -> None:
        self._end_attempt(delivery, state="pending", detail=detail, delay=str(delay_s))

    def _end_attempt(self, delivery: Delivery, *, state: str, detail: str, delay: str) -> None:
        with our_errors():
            self._scripts.call(
                "complete",
                keys=self._delivery_keys(delivery.id),
                args={
                    "delivery_id": delivery.id,
                    "attempts": delivery.attempts,
                    "state": state,
                    "detail": detail,
                    "ttl": self._policy.job_ttl_s,
                    "delay": delay,
                    "max_dead": self._policy.max_dead,
                    "delivery_prefix": self._keys.delivery_prefix,
                },
            )

    def redeliver(self, delivery_id: str, *, job_id: str) -> Delivery:
        with our_errors():
            state = self._scripts.call(
                "redeliver",
                keys=self._delivery_keys(delivery_id),
                args={
                    "delivery_id": delivery_id,
                    "job_id": job_id,
                    "ttl": self._policy.job_ttl_s,
                    "states": json.dumps(REDELIVERABLE),
                },
            ).decode()
        if state == "absent":
            raise CallbackNotFound(f"Job {job_id} has no callback {delivery_id}.")
        if state != "pending":
            raise callback_not_ready(delivery_id, state=state)
        return next(iter(self._read([delivery_id.encode()])))

    def deliveries(self, job_id: str) -> list[Delivery]:
        with our_errors():
            return self._read(self._redis.zrange(self._keys.deliveries(job_id), 0, -1))

    def dead(self) -> list[Delivery]:
        with our_errors():
            return self._read(self._redis.lrange(self._keys.dead_callbacks, 0, -1))

    def _delivery_keys(self, delivery_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            "outbox": keys.outbox,
            "delivery": keys.delivery(delivery_id),
            "dead": keys.dead_callbacks,
            "held": keys.held,
            "held_bytes": keys.held_bytes,
        }

    def _read(self, ids: list[bytes]) -> list[Delivery]:
        pipe = self._redis.pipeline(transaction=False)
        for each in ids:
            pipe.hgetall(self._keys.delivery(each.decode())).zscore(self._keys.outbox, each)
        answers = iter(pipe.execute())
        found = zip(ids, answers, answers, strict=True)
        return [_delivery(each, fields, due_at) for each, fields, due_at in found if fields]


def _delivery(delivery_id: bytes, fields: dict[bytes, bytes], due_at: float | None = None) -> Delivery:
    job_id = fields[b"job_id"].decode()
    state, data, error = (fields.get(name, b"").decode() for name in (b"job_state", b"data", b"error"))
    return Delivery(
        id=delivery_id.decode(),
        job_id=job_id,
        url=fields[b"url"].decode(),
        body=body_of(job_id, state=state or "done", data=data, error=error),
        state=fields[b"state"].decode(),
        attempts=int(fields[b"attempts"]),
        detail=fields.get(b"detail", b"").decode(),
        due_at=due_at,
        secret=fields.get(b"secret", b"").decode() or None,
    )
