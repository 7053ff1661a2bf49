"""A worker's side of the queue on Redis: `BLMOVE` into its own list, leases, fenced Lua steps."""

import json
import secrets
import time
from typing import Any

import redis

from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost
from msaas.jobs import Job, JobError
from msaas.pieces import Pieces
from msaas.queue import EXHAUSTED, NEARLY_DONE, Claim, QueuePolicy, Result, dead_letter, delivery_id_of
from msaas.redis_clients import BLOCK_S, RedisAddress, connect, connect_blocking, our_errors
from msaas.redis_fields import callback_args, error_json, text
from msaas.redis_keys import Keys
from msaas.redis_scripts import Scripts


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
                    error_json(EXHAUSTED),
                    delivery_id,
                    *callback_args(job.callback),
                ],
            )
        if verdict == b"dead":
            raise AttemptsExhausted(job.songhash)
        if verdict != b"claimed":
            raise ClaimRefused(text(verdict))
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
                error_json(error),
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
