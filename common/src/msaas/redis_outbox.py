"""Callbacks on their way, in Redis: a sorted set by due time, a hash for each."""

import json

from msaas.errors import CallbackNotFound, CallbackNotReady
from msaas.jobs import Callback
from msaas.queue import REDELIVERABLE, Delivery, QueuePolicy, new_delivery_id
from msaas.redis_clients import RedisAddress, connect, our_errors
from msaas.redis_fields import callback_args
from msaas.redis_keys import Keys
from msaas.redis_scripts import Scripts


class RedisOutbox:
    """Implements `msaas.queue.Outbox`."""

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
            self._scripts["put_down"](
                keys=[keys.outbox, keys.delivery(delivery_id), keys.deliveries(job_id)],
                args=[delivery_id, job_id, *callback_args(callback), self._policy.job_ttl_s],
            )
        return delivery_id

    def due(self, *, visibility_s: float) -> Delivery | None:
        with our_errors():
            found = self._scripts["due"](
                keys=[self._keys.outbox], args=[visibility_s, self._keys.delivery_prefix]
            )
        if not found:
            return None
        delivery_id, flat = found
        return _delivery(delivery_id, dict(zip(flat[::2], flat[1::2], strict=True)))

    def settle(self, delivery: Delivery, *, state: str, detail: str = "") -> None:
        self._settle(delivery, state=state, detail=detail, delay="")

    def again(self, delivery: Delivery, *, delay_s: float, detail: str = "") -> None:
        self._settle(delivery, state="pending", detail=detail, delay=str(delay_s))

    def _settle(self, delivery: Delivery, *, state: str, detail: str, delay: str) -> None:
        policy = self._policy
        with our_errors():
            self._scripts["settle"](
                keys=self._settling_keys(delivery.id),
                args=[
                    delivery.id,
                    delivery.attempts,
                    state,
                    detail,
                    policy.job_ttl_s,
                    delay,
                    policy.max_dead,
                ],
            )

    def redeliver(self, delivery_id: str, *, job_id: str) -> Delivery:
        with our_errors():
            state = self._scripts["redeliver"](
                keys=self._settling_keys(delivery_id),
                args=[delivery_id, job_id, self._policy.job_ttl_s, *REDELIVERABLE],
            ).decode()
        if state == "absent":
            raise CallbackNotFound(delivery_id)
        if state != "pending":
            raise CallbackNotReady(f"It is {state}.")
        return next(iter(self._found([delivery_id.encode()])))

    def deliveries(self, job_id: str) -> list[Delivery]:
        with our_errors():
            return self._found(self._redis.zrange(self._keys.deliveries(job_id), 0, -1))

    def dead(self) -> list[Delivery]:
        with our_errors():
            return self._found(self._redis.lrange(self._keys.dead_callbacks, 0, -1))

    def _settling_keys(self, delivery_id: str) -> list[str]:
        return [self._keys.outbox, self._keys.delivery(delivery_id), self._keys.dead_callbacks]

    def _found(self, ids: list[bytes]) -> list[Delivery]:
        pipe = self._redis.pipeline(transaction=False)
        for each in ids:
            pipe.hgetall(self._keys.delivery(each.decode())).zscore(self._keys.outbox, each)
        answers = iter(pipe.execute())
        found = zip(ids, answers, answers, strict=True)
        return [_delivery(each, fields, due_at) for each, fields, due_at in found if fields]


def _delivery(delivery_id: bytes, fields: dict[bytes, bytes], due_at: float | None = None) -> Delivery:
    job_id = fields[b"job_id"].decode()
    plain = json.dumps({"songhash": job_id, "state": fields.get(b"job_state", b"done").decode()}).encode()
    return Delivery(
        delivery_id.decode(),
        job_id=job_id,
        url=fields[b"url"].decode(),
        body=fields.get(b"data", plain),
        state=fields[b"state"].decode(),
        attempts=int(fields[b"attempts"]),
        detail=fields.get(b"detail", b"").decode(),
        due_at=due_at,
        secret=fields.get(b"secret", b"").decode() or None,
    )
