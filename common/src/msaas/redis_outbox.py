"""Callbacks on their way, in Redis: a sorted set by due time, a hash for each."""

import json
import time

from msaas.jobs import Callback
from msaas.queue import Delivery, QueuePolicy
from msaas.redis_clients import RedisAddress, connect, our_errors
from msaas.redis_keys import Keys
from msaas.redis_queue import new_delivery_id
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
        delivery_id, keys, ttl = new_delivery_id(), self._keys, self._policy.job_ttl_s
        fields = {
            "job_id": job_id,
            "url": callback.url,
            "state": "pending",
            "job_state": "done",
            "attempts": "0",
        }
        if callback.data is not None:
            fields["data"] = json.dumps(callback.data)
        with our_errors():
            pipe = self._redis.pipeline()
            pipe.hset(keys.delivery(delivery_id), mapping=fields)
            pipe.expire(keys.delivery(delivery_id), ttl)
            pipe.sadd(keys.deliveries(job_id), delivery_id)
            pipe.expire(keys.deliveries(job_id), ttl)
            pipe.zadd(keys.outbox, {delivery_id: time.time()})
            pipe.execute()
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

    def settle(self, delivery_id: str, *, state: str, detail: str = "") -> None:
        with our_errors():
            pipe = self._redis.pipeline()
            pipe.zrem(self._keys.outbox, delivery_id)
            pipe.hset(self._keys.delivery(delivery_id), mapping={"state": state, "detail": detail})
            pipe.expire(self._keys.delivery(delivery_id), self._policy.job_ttl_s)
            pipe.execute()

    def again(self, delivery_id: str, *, delay_s: float, detail: str = "") -> None:
        with our_errors():
            pipe = self._redis.pipeline()
            pipe.zadd(self._keys.outbox, {delivery_id: time.time() + delay_s})
            pipe.hset(self._keys.delivery(delivery_id), mapping={"state": "pending", "detail": detail})
            pipe.expire(self._keys.delivery(delivery_id), self._policy.job_ttl_s)
            pipe.execute()

    def deliveries(self, job_id: str) -> list[Delivery]:
        with our_errors():
            ids = sorted(self._redis.smembers(self._keys.deliveries(job_id)))
            found = [(each, self._redis.hgetall(self._keys.delivery(each.decode()))) for each in ids]
        return [_delivery(each, fields) for each, fields in found if fields]


def _delivery(delivery_id: bytes, fields: dict[bytes, bytes]) -> Delivery:
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
    )
