"""The reliable queue on Redis: `BLMOVE` into the worker's own list, leases, fenced Lua steps."""

import json
import secrets
import time
from dataclasses import replace
from typing import Any

import redis

from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost, MalformedJob
from msaas.jobs import Callback, Job, JobError, JobState, JobStatus
from msaas.pieces import Pieces
from msaas.queue import (
    EXHAUSTED,
    LETTER_BYTES,
    NEARLY_DONE,
    Claim,
    Depth,
    QueuePolicy,
    Result,
    dead_letter,
    delivery_id_of,
    new_delivery_id,
)
from msaas.redis_clients import BLOCK_S, RedisAddress, connect, connect_blocking, our_errors
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
        return JobState(_text(state))

    def waiting(self) -> list[str]:
        with our_errors():
            pipe = self._redis.pipeline()
            # A worker takes from the alias first.
            pipe.lrange(self._keys.alias, 0, -1).lrange(self._keys.waiting, 0, -1)
            lists = pipe.execute()
        ids = (_id_or_none(payload) for payloads in lists for payload in reversed(payloads))
        return [job_id for job_id in ids if job_id]

    def depth(self) -> Depth:
        keys = self._keys
        with our_errors():
            workers = [_text(name) for name in self._redis.zrange(keys.workers, 0, -1)]
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
        return {source_of(job_id) for entry in entries if (job_id := _id_or_none(entry))}

    def take_turn(self, task: str, *, every_s: float) -> bool:
        with our_errors():
            return bool(self._redis.set(self._keys.turn(task), 1, nx=True, px=max(1, int(every_s * 1000))))

    def status(self, job_id: str) -> JobStatus | None:
        with our_errors():
            fields = self._redis.hgetall(self._keys.job(job_id))
        return (
            _status(job_id, {_text(key): _text(value) for key, value in fields.items()}) if fields else None
        )

    def consumer(self, worker: str) -> "RedisConsumer":
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
                    _error_json(EXHAUSTED),
                ],
            )
        return [_text(job_id) for job_id in returned]

    def stale_pieces(self) -> list[Pieces]:
        with our_errors():
            stale = self._scripts["stale_pieces"](keys=[self._keys.pieces], args=[self._keys.job("%s")])
        return [Pieces.decode(text) for text in stale]

    def forget_pieces(self, pieces: Pieces) -> None:
        with our_errors():
            self._redis.hdel(self._keys.pieces, pieces.tag)


class RedisConsumer:
    """Implements `msaas.queue.Consumer`. `take` has its own client, so that a renewal never waits for it."""

    def __init__(self, address: RedisAddress, *, worker: str, keys: Keys, policy: QueuePolicy) -> None:
        self._worker = worker
        self._keys = keys
        self._policy = policy
        self._redis = connect(address)
        self._blocking = connect_blocking(address)
        self._scripts = Scripts(self._redis)
        #: The last claim this process heard of; one that it never heard of is no attempt.
        self._last_token = ""

    def take(self, *, timeout_s: float = BLOCK_S) -> bytes | None:
        keys = self._keys
        own = keys.own(self._worker)
        with our_errors():
            at_hand: bytes | None = self._scripts["take"](
                keys=[own, keys.alias, keys.waiting, keys.workers], args=[self._worker, self._policy.lease_s]
            )
            # An empty entry is an entry, too: somebody must bury it.
            return at_hand if at_hand is not None else self._next(own, min(timeout_s, BLOCK_S))

    def _next(self, own: str, timeout_s: float) -> bytes | None:
        """Block on the server until something comes: moved, never popped."""
        try:
            moved: bytes | None = self._blocking.blmove(self._keys.waiting, own, timeout_s, "RIGHT", "LEFT")
        except redis.exceptions.OutOfMemoryError:
            time.sleep(timeout_s)
            return None
        return moved

    def claim(self, job: Job, *, payload: bytes) -> Claim:
        keys, policy, token = self._keys, self._policy, secrets.token_hex(16)
        delivery_id = delivery_id_of(payload) if job.callback else ""
        with our_errors():
            verdict, *facts = self._scripts["claim"](
                keys=[
                    keys.own(self._worker),
                    keys.claims(self._worker),
                    keys.job(job.songhash),
                    keys.callbacks(job.songhash),
                    keys.delivery(delivery_id),
                    keys.deliveries(job.songhash),
                    keys.dead,
                    keys.outbox,
                    keys.workers,
                ],
                args=[
                    payload,
                    job.songhash,
                    token,
                    self._last_token,
                    self._worker,
                    policy.lease_s,
                    policy.max_attempts,
                    policy.job_ttl_s,
                    dead_letter(payload, EXHAUSTED.code),
                    policy.max_dead,
                    keys.delivery_prefix,
                    _error_json(EXHAUSTED),
                    delivery_id,
                    *callback_args(job.callback),
                ],
            )
        if verdict == b"dead":
            raise AttemptsExhausted(job.songhash)
        if verdict != b"claimed":
            raise ClaimRefused(_text(verdict))
        self._last_token = token
        return Claim(job, payload, token, attempt=int(facts[0]), give_backs=int(facts[1]))

    def bury(self, payload: bytes, *, reason: str) -> None:
        keys = self._keys
        with our_errors():
            self._scripts["bury"](
                keys=[keys.own(self._worker), keys.dead],
                args=[payload, dead_letter(payload, reason), self._policy.max_dead],
            )

    def beat(self) -> None:
        with our_errors():
            self._scripts["beat"](keys=[self._keys.workers], args=[self._worker, self._policy.lease_s])

    def renew(
        self,
        claim: Claim,
        *,
        progress: float,
        model: str | None = None,
        device: str | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        keys = [self._keys.job(claim.job.songhash), self._keys.workers, self._keys.pieces]
        args = [
            claim.token,
            self._worker,
            self._policy.lease_s,
            f"{min(progress, NEARLY_DONE):.4f}",
            model or "",
            device or "",
            pieces.tag if pieces else "",
            pieces.encode() if pieces else "",
        ]
        self._fenced("renew", claim, keys=keys, args=args)

    def finish(self, claim: Claim, result: Result) -> None:
        stems = json.dumps(result.stems)
        args = [result.model, result.device, stems, self._policy.job_ttl_s, self._keys.delivery_prefix]
        self._fenced("finish", claim, keys=self._ending_keys(claim), args=[claim.token, claim.payload, *args])

    def fail(self, claim: Claim, error: JobError) -> None:
        self._end_attempt(claim, error, max_attempts=0)

    def retry(self, claim: Claim, error: JobError) -> None:
        self._end_attempt(claim, error, max_attempts=self._policy.max_attempts)

    def _end_attempt(self, claim: Claim, error: JobError, *, max_attempts: int) -> None:
        self._fenced(
            "fail",
            claim,
            keys=[*self._ending_keys(claim), self._keys.waiting, self._keys.dead],
            args=[
                claim.token,
                claim.payload,
                _error_json(error),
                self._policy.job_ttl_s,
                self._keys.delivery_prefix,
                max_attempts,
                dead_letter(claim.payload, error.code),
                self._policy.max_dead,
            ],
        )

    def give_back(self, claim: Claim, *, delay_s: float = 0.0) -> None:
        keys = [*self._claim_keys(claim), self._keys.waiting, self._keys.delayed]
        self._fenced("give_back", claim, keys=keys, args=[claim.token, claim.payload, delay_s])

    def leave(self) -> None:
        keys = self._keys
        with our_errors():
            self._scripts["leave"](
                keys=[keys.own(self._worker), keys.claims(self._worker), keys.workers, keys.waiting],
                args=[self._worker],
            )

    def _claim_keys(self, claim: Claim) -> list[str]:
        return [
            self._keys.own(self._worker),
            self._keys.claims(self._worker),
            self._keys.job(claim.job.songhash),
        ]

    def _ending_keys(self, claim: Claim) -> list[str]:
        return [*self._claim_keys(claim), self._keys.callbacks(claim.job.songhash), self._keys.outbox]

    def _fenced(self, step: str, claim: Claim, *, keys: list[str], args: list[Any]) -> None:
        with our_errors():
            done = self._scripts[step](keys=keys, args=args)
        if not done:
            raise LeaseLost(claim.job.songhash)


def callback_args(callback: Callback | None) -> tuple[str, str, str]:
    if callback is None:
        return "", "", ""
    data = "" if callback.data is None else json.dumps(callback.data)
    return callback.url, data, callback.secret or ""


def _id_or_none(payload: bytes) -> str | None:
    try:
        return Job.decode(payload).songhash
    except MalformedJob:
        return None


def _error_json(error: JobError) -> str:
    return json.dumps(vars(error))


def _status(job_id: str, fields: dict[str, str]) -> JobStatus:
    return JobStatus(
        job_id,
        JobState(fields.get("state", JobState.QUEUED)),
        progress=float(fields.get("progress", 0)),
        model=fields.get("model"),
        device=fields.get("device"),
        attempts=int(fields.get("attempts", 0)),
        stems=tuple(json.loads(fields.get("stems", "[]"))),
        error=JobError(**json.loads(fields["error"])) if "error" in fields else None,
        created_at=_seconds(fields.get("created_at")),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
        pieces=Pieces.decode(fields["pieces"]) if "pieces" in fields else None,
    )


def _seconds(text: str | None) -> float | None:
    return float(text) if text else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
