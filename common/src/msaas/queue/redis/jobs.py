"""The reliable queue on Redis, except for the worker's side: enqueue, ask, reap."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis

from msaas.fragments import Fragments
from msaas.jobs import Job, JobState, JobStatus
from msaas.queue.abilities import Abilities, Fleet
from msaas.queue.history import options_json
from msaas.queue.outbox import check_callback_room, new_delivery_id
from msaas.queue.protocol import (
    DEAD_LETTER_PAYLOAD_BYTES,
    EXHAUSTED,
    FORGET_WORKER_S,
    MAX_POSITION,
    Cancellation,
    Depth,
    Listed,
    Memory,
    QueuePolicy,
    Request,
    anonymous_request,
    check_cancelled,
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
                    "index": keys.index,
                    "held": keys.held,
                    "held_bytes": keys.held_bytes,
                    "private_songs": keys.private_songs,
                    "probe": keys.probe,
                },
                args={},
            )

    def enqueue(
        self,
        job: Job,
        *,
        request: Request | None = None,
        duration_s: float | None = None,
        max_waiting: int | None = None,
    ) -> JobState:
        request = request or anonymous_request(job)
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
                    "order": keys.order,
                    "turns": keys.turns,
                    "index": keys.index,
                },
                args={
                    "payload": payload_of(job),
                    "model": job.options.get("model", ""),
                    "duration": "" if duration_s is None else f"{duration_s:.3f}",
                    "request": str(request),
                    "owner": request.owner,
                    "job_prefix": keys.job_prefix,
                    "delivery_id": delivery_id,
                    "job_id": job.job_id,
                    "callback": callback_json(job.callback),
                    "ttl": self._policy.job_ttl_s,
                    "processing_prefix": keys.processing_prefix,
                    "delivery_prefix": keys.delivery_prefix,
                    "limits": limits_json(self._policy),
                    "options": options_json(job.options),
                    "max_waiting": "" if max_waiting is None else max_waiting,
                },
            )
        if text(state) == "full":
            raise queue_full(max_waiting)
        check_callback_room(text(state), job_id=job.job_id)
        return JobState(text(state))

    def cancel(self, job_id: str, which: Cancellation) -> int:
        keys = self._keys
        with our_errors():
            verdict, left = self._scripts.call(
                "cancel",
                keys={
                    "job": keys.job(job_id),
                    "requests": keys.requests(job_id),
                    "waiting": keys.waiting,
                    "alias": keys.alias,
                    "delayed": keys.delayed,
                    "workers": keys.workers,
                    "order": keys.order,
                    "turns": keys.turns,
                    "callbacks": keys.callbacks(job_id),
                    "outbox": keys.outbox,
                    "held": keys.held,
                    "held_bytes": keys.held_bytes,
                    "history": keys.history,
                },
                args={
                    "job_id": job_id,
                    "request_id": "*" if which.all_requests else which.request_id,
                    "owner": which.owner,
                    "any_owner": int(which.any_owner),
                    "with_accounts": int(which.with_accounts),
                    "ttl": self._policy.job_ttl_s,
                    "processing_prefix": keys.processing_prefix,
                    "claims_prefix": keys.claims_prefix,
                    "delivery_prefix": keys.delivery_prefix,
                },
            )
        check_cancelled(text(verdict), job_id=job_id, left=left)
        return int(left)

    def list_jobs(self, *, before: Listed | None = None, limit: int) -> list[Listed]:
        """Jobs of one instant are in the order of their ids, from the last to the first."""
        latest = "+inf" if before is None else repr(before.at)
        with our_errors():
            same = self._redis.zcount(self._keys.index, latest, latest) if before else 0
            found = self._redis.zrevrangebyscore(
                self._keys.index, latest, "-inf", start=0, num=limit + same, withscores=True
            )
        listed = [Listed(text(job_id), at) for job_id, at in found]
        if before:
            listed = [each for each in listed if (each.at, each.job_id) < (before.at, before.job_id)]
        return listed[:limit]

    def note_request(self, job_id: str) -> None:
        with our_errors():
            self._scripts.call(
                "note_request",
                keys={"index": self._keys.index},
                args={"job_id": job_id, "ttl": self._policy.job_ttl_s},
            )

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
        return self.statuses([job_id])[0]

    def statuses(self, job_ids: Sequence[str]) -> list[JobStatus | None]:
        records = self._records(job_ids)
        waiting = {
            job_id: fields["payload"]
            for job_id, fields in zip(job_ids, records, strict=True)
            if fields.get("state") == JobState.QUEUED and "payload" in fields
        }
        positions = self._positions(waiting)
        return [
            replace(status_of(job_id, fields=fields), position=positions.get(job_id)) if fields else None
            for job_id, fields in zip(job_ids, records, strict=True)
        ]

    def _records(self, job_ids: Sequence[str]) -> list[dict[str, str]]:
        """Return the hash of each job. One of another type is poisoned: the next enqueue replaces it."""
        with our_errors():
            pipe = self._redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hgetall(self._keys.job(job_id))
            return [_record_of(reply) for reply in pipe.execute(raise_on_error=False)]

    def _positions(self, payloads: Mapping[str, str]) -> dict[str, int]:
        """Return the position of each waiting entry that is among the first ones."""
        if not payloads:
            return {}
        with our_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.llen(self._keys.alias).llen(self._keys.waiting)
            for payload in payloads.values():
                # The next entry is the last of its list.
                pipe.lpos(self._keys.waiting, payload, rank=-1, maxlen=MAX_POSITION)
            alias, waiting, *places = pipe.execute()
        found = zip(payloads, places, strict=True)
        # The list may have become shorter between two commands.
        return {job_id: max(1, alias + waiting - place) for job_id, place in found if place is not None}

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
                    "history": keys.history,
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


def _record_of(reply: Any) -> dict[str, str]:
    if isinstance(reply, redis.exceptions.ResponseError) and "WRONGTYPE" in str(reply):
        return {}
    if isinstance(reply, Exception):
        raise reply
    return {text(key): text(value) for key, value in reply.items()}
