"""The reliable queue on Redis, except for the worker's side: enqueue, ask, reap."""

import redis

from msaas.fragments import Fragments
from msaas.jobs import Job, JobState, JobStatus
from msaas.queue.abilities import Abilities, Fleet
from msaas.queue.protocol import (
    DEAD_LETTER_PAYLOAD_BYTES,
    DELETION_S,
    EXHAUSTED,
    FORGET_WORKER_S,
    REQUESTED_S,
    Depth,
    Memory,
    QueuePolicy,
    check_callback_room,
    new_delivery_id,
    payload_of,
    queue_full,
)
from msaas.queue.redis.clients import Connect, RedisAddress, connect, our_errors
from msaas.queue.redis.consumer import RedisConsumer
from msaas.queue.redis.fields import callback_json, error_json, id_or_none, limits_json, status_of, text
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts
from msaas.songs import source_of


class RedisQueue:
    """Implements `msaas.queue.protocol.JobQueue`."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        keys: Keys = Keys(),
        policy: QueuePolicy = QueuePolicy(),
        connect: Connect = connect,
    ) -> None:
        self._address = address
        self._connect = connect
        self._keys = keys
        self._policy = policy
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)

    def ping(self) -> None:
        with our_errors():
            self._redis.ping()

    def check_writable(self) -> None:
        keys = self._keys
        with our_errors():
            self._scripts.call(
                "check_writable",
                keys={
                    "waiting": keys.waiting,
                    "alias": keys.alias,
                    "delayed": keys.delayed,
                    "workers": keys.workers,
                    "probe": keys.probe,
                },
                args={},
            )

    def enqueue(self, job: Job, *, max_waiting: int | None = None) -> JobState:
        delivery_id = new_delivery_id() if job.callback else ""
        keys = self._keys
        with our_errors():
            state = self._scripts.call(
                "enqueue",
                keys={
                    "waiting": keys.waiting,
                    "alias": keys.alias,
                    "delayed": keys.delayed,
                    "job": keys.job(job.job_id),
                    "callbacks": keys.callbacks(job.job_id),
                    "deliveries": keys.deliveries(job.job_id),
                    "held": keys.held,
                    "held_bytes": keys.held_bytes,
                    "workers": keys.workers,
                },
                args={
                    "payload": payload_of(job),
                    "model": job.options.get("model", ""),
                    "delivery_id": delivery_id,
                    "job_id": job.job_id,
                    "callback": callback_json(job.callback),
                    "ttl": self._policy.job_ttl_s,
                    "processing_prefix": keys.processing_prefix,
                    "delivery_prefix": keys.delivery_prefix,
                    "limits": limits_json(self._policy),
                    "max_waiting": "" if max_waiting is None else max_waiting,
                },
            )
        if text(state) == "full":
            raise queue_full(max_waiting)
        check_callback_room(text(state), job_id=job.job_id)
        return JobState(text(state))

    def waiting(self, *, offset: int = 0, limit: int | None = None) -> list[str]:
        with our_errors():
            payloads = self._scripts.call(
                "waiting_entries",
                keys={"waiting": self._keys.waiting, "alias": self._keys.alias},
                args={"offset": offset, "limit": "" if limit is None else limit},
            )
        return [job_id for job_id in map(id_or_none, payloads) if job_id]

    def depth(self) -> Depth:
        keys = self._keys
        with our_errors():
            workers = self._redis.zrange(keys.workers, 0, -1, withscores=True)
            pipe = self._redis.pipeline(transaction=False)
            pipe.time().llen(keys.waiting).llen(keys.alias).zcard(keys.delayed).llen(keys.dead)
            for name, _ in workers:
                pipe.llen(keys.processing(text(name)))
            now, waiting, alias, delayed, dead, *processing = pipe.execute()
        return Depth(
            waiting=waiting + alias,
            in_flight=sum(processing),
            delayed=delayed,
            dead=dead,
            workers=sum(lease_until > now[0] for _, lease_until in workers),
        )

    def memory(self) -> Memory:
        with our_errors():
            facts = self._redis.info("memory")
        return Memory(used_bytes=facts["used_memory"], limit_bytes=facts["maxmemory"])

    def live_workers(self) -> set[str]:
        with our_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.time().zrange(self._keys.workers, 0, -1, withscores=True)
            (now, _), workers = pipe.execute()
        return {text(worker) for worker, lease_until in workers if lease_until > now}

    def referenced_songs(self) -> set[str]:
        keys = self._keys
        with our_errors():
            entries = self._scripts.call(
                "referenced_entries",
                keys={
                    "delayed": keys.delayed,
                    "workers": keys.workers,
                    "waiting": keys.waiting,
                    "alias": keys.alias,
                },
                args={"processing_prefix": keys.processing_prefix},
            )
        return {source_of(job_id) for entry in entries if (job_id := id_or_none(entry))}

    def request_song(self, song_hash: str) -> bool:
        return self._mark("request_song", song_hash, ttl_s=REQUESTED_S)

    def begin_deletion(self, song_hash: str) -> bool:
        return self._mark("begin_deletion", song_hash, ttl_s=DELETION_S)

    def _mark(self, step: str, song_hash: str, *, ttl_s: int) -> bool:
        keys = self._keys
        with our_errors():
            marked = self._scripts.call(
                step,
                keys={"requested": keys.requested(song_hash), "deletion": keys.deletion(song_hash)},
                args={"ttl": ttl_s},
            )
        return bool(marked)

    def end_deletion(self, song_hash: str) -> None:
        with our_errors():
            self._redis.delete(self._keys.deletion(song_hash))

    def forget(self, job_id: str, *, state: JobState) -> None:
        with our_errors():
            self._scripts.call("forget", keys={"job": self._keys.job(job_id)}, args={"state": state.value})

    def acquire_lock(self, task: str, *, every_s: float) -> bool:
        with our_errors():
            return bool(self._redis.set(self._keys.lock(task), 1, nx=True, px=max(1, int(every_s * 1000))))

    def extend_lock(self, task: str, *, for_s: float) -> None:
        with our_errors():
            self._redis.set(self._keys.lock(task), 1, px=max(1, int(for_s * 1000)))

    def status(self, job_id: str) -> JobStatus | None:
        with our_errors():
            try:
                fields = self._redis.hgetall(self._keys.job(job_id))
            except redis.exceptions.ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                # Poisoned. The next enqueue replaces it, the next claim refuses it.
                return None
        if not fields:
            return None
        return status_of(job_id, fields={text(key): text(value) for key, value in fields.items()})

    def fleet(self) -> Fleet:
        with our_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.time().hgetall(self._keys.abilities).zrange(self._keys.workers, 0, -1, withscores=True)
            (now, _), announced, workers = pipe.execute()
        return Fleet.of(
            {text(worker): Abilities.decode(abilities) for worker, abilities in announced.items()},
            live={text(worker) for worker, lease_until in workers if lease_until > now},
        )

    def consumer(self, worker: str) -> RedisConsumer:
        return RedisConsumer(
            self._address, worker=worker, keys=self._keys, policy=self._policy, connect=self._connect
        )

    def reap(self) -> list[str]:
        keys, policy = self._keys, self._policy
        with our_errors():
            returned = self._scripts.call(
                "reap",
                keys={
                    "workers": keys.workers,
                    "waiting": keys.waiting,
                    "delayed": keys.delayed,
                    "dead": keys.dead,
                    "outbox": keys.outbox,
                    "held": keys.held,
                    "held_bytes": keys.held_bytes,
                },
                args={
                    "processing_prefix": keys.processing_prefix,
                    "claims_prefix": keys.claims_prefix,
                    "delivery_prefix": keys.delivery_prefix,
                    "job_prefix": keys.job_prefix,
                    "callbacks_suffix": keys.callbacks_suffix,
                    "max_attempts": policy.max_attempts,
                    "ttl": policy.job_ttl_s,
                    "max_dead": policy.max_dead,
                    "max_payload": DEAD_LETTER_PAYLOAD_BYTES,
                    "error": error_json(EXHAUSTED),
                    "forget_after": FORGET_WORKER_S,
                },
            )
        return [text(job_id) for job_id in returned]

    def stale_fragments(self) -> list[Fragments]:
        with our_errors():
            stale = self._scripts.call(
                "stale_fragments",
                keys={"all_fragments": self._keys.fragments},
                args={"job_prefix": self._keys.job_prefix},
            )
        return [Fragments.decode(each) for each in stale]

    def forget_fragments(self, fragments: Fragments) -> None:
        with our_errors():
            self._redis.hdel(self._keys.fragments, fragments.tag)
