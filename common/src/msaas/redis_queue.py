"""The reliable queue on Redis for all but the work itself: hand jobs in, ask after them, tidy up."""

from dataclasses import replace

from msaas.jobs import Job, JobState, JobStatus
from msaas.pieces import Pieces
from msaas.queue import EXHAUSTED, LETTER_BYTES, Depth, QueuePolicy, new_delivery_id
from msaas.redis_clients import RedisAddress, connect, our_errors
from msaas.redis_consumer import RedisConsumer
from msaas.redis_fields import callback_args, error_json, id_or_none, status_of, text
from msaas.redis_keys import Keys
from msaas.redis_scripts import Scripts
from msaas.songs import source_of


class RedisQueue:
    """Implements `msaas.queue.JobQueue`."""

    def __init__(
        self, address: RedisAddress, *, keys: Keys = Keys(), policy: QueuePolicy = QueuePolicy()
    ) -> None:
        self._address = address
        self._keys = keys
        self._policy = policy
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)

    def ping(self) -> None:
        with our_errors():
            self._redis.ping()

    def enqueue(self, job: Job) -> JobState:
        payload = replace(job, callback=None).encode()
        delivery_id = new_delivery_id() if job.callback else ""
        keys = self._keys
        with our_errors():
            state = self._scripts["enqueue"](
                keys=[
                    keys.waiting,
                    keys.delayed,
                    keys.job(job.songhash),
                    keys.callbacks(job.songhash),
                    keys.delivery(delivery_id),
                    keys.deliveries(job.songhash),
                    keys.workers,
                ],
                args=[
                    payload,
                    job.model or "",
                    delivery_id,
                    job.songhash,
                    *callback_args(job.callback),
                    self._policy.job_ttl_s,
                    keys.own_prefix,
                ],
            )
        return JobState(text(state))

    def waiting(self) -> list[str]:
        with our_errors():
            pipe = self._redis.pipeline()
            # A worker takes from the alias first.
            pipe.lrange(self._keys.alias, 0, -1).lrange(self._keys.waiting, 0, -1)
            lists = pipe.execute()
        ids = (id_or_none(payload) for payloads in lists for payload in reversed(payloads))
        return [job_id for job_id in ids if job_id]

    def depth(self) -> Depth:
        keys = self._keys
        with our_errors():
            workers = [text(name) for name in self._redis.zrange(keys.workers, 0, -1)]
            pipe = self._redis.pipeline(transaction=False)
            pipe.llen(keys.waiting).llen(keys.alias).zcard(keys.delayed).llen(keys.dead)
            for worker in workers:
                pipe.llen(keys.own(worker))
            waiting, alias, delayed, dead, *own = pipe.execute()
        return Depth(waiting=waiting + alias, in_flight=sum(own), delayed=delayed, dead=dead)

    def open_songs(self) -> set[str]:
        keys = self._keys
        with our_errors():
            entries = self._scripts["open_entries"](
                keys=[keys.delayed, keys.workers, keys.waiting, keys.alias], args=[keys.own_prefix]
            )
        return {source_of(job_id) for entry in entries if (job_id := id_or_none(entry))}

    def take_turn(self, task: str, *, every_s: float) -> bool:
        with our_errors():
            return bool(self._redis.set(self._keys.turn(task), 1, nx=True, px=max(1, int(every_s * 1000))))

    def status(self, job_id: str) -> JobStatus | None:
        with our_errors():
            fields = self._redis.hgetall(self._keys.job(job_id))
        return (
            status_of(job_id, fields={text(key): text(value) for key, value in fields.items()})
            if fields
            else None
        )

    def consumer(self, worker: str) -> RedisConsumer:
        return RedisConsumer(self._address, worker=worker, keys=self._keys, policy=self._policy)

    def reap(self) -> list[str]:
        keys, policy = self._keys, self._policy
        with our_errors():
            returned = self._scripts["reap"](
                keys=[keys.workers, keys.waiting, keys.delayed, keys.dead, keys.outbox],
                args=[
                    keys.own_prefix,
                    keys.claims_prefix,
                    keys.delivery_prefix,
                    keys.job("%s"),
                    keys.callbacks("%s"),
                    policy.max_attempts,
                    policy.job_ttl_s,
                    policy.max_dead,
                    LETTER_BYTES,
                    error_json(EXHAUSTED),
                ],
            )
        return [text(job_id) for job_id in returned]

    def stale_pieces(self) -> list[Pieces]:
        with our_errors():
            stale = self._scripts["stale_pieces"](keys=[self._keys.pieces], args=[self._keys.job("%s")])
        return [Pieces.decode(each) for each in stale]

    def forget_pieces(self, pieces: Pieces) -> None:
        with our_errors():
            self._redis.hdel(self._keys.pieces, pieces.tag)
