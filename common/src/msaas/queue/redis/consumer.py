"""The worker's side of the queue on Redis: `BLMOVE` into its own list, leases, fenced Lua steps."""

import json
import secrets
import time
from typing import Any

import redis

from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost, MalformedJob
from msaas.fragments import Fragments
from msaas.jobs import Job, JobError
from msaas.queue.abilities import Abilities
from msaas.queue.consumer import NEARLY_DONE, Claim, Result
from msaas.queue.history import options_json
from msaas.queue.outbox import delivery_id_of
from msaas.queue.protocol import EXHAUSTED, QueuePolicy, encode_dead_letter
from msaas.queue.redis.clients import (
    BLOCK_S,
    BLOCKING_TIMEOUT_S,
    Connect,
    RedisAddress,
    connect,
    our_errors,
)
from msaas.queue.redis.fields import callback_json, error_json, limits_json, text
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts
from msaas.queue.song_registry import DELETION_S
from msaas.songs import source_of


class RedisConsumer:
    """Implements `msaas.queue.consumer.Consumer`.

    `take` has its own client, so that no renewal waits for it.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        worker: str,
        keys: Keys,
        policy: QueuePolicy,
        connect: Connect = connect,
    ) -> None:
        self._worker = worker
        self._keys = keys
        self._policy = policy
        self._redis = connect(address)
        self._blocking = connect(address, timeout_s=BLOCKING_TIMEOUT_S)
        self._scripts = Scripts(self._redis)
        #: The last claim with a reply. A claim without one counts as no attempt.
        self._last_token = ""

    def take(self, *, timeout_s: float = BLOCK_S) -> bytes | None:
        keys = self._keys
        processing = keys.processing(self._worker)
        with our_errors():
            at_hand: bytes | None = self._scripts.call(
                "take",
                keys={
                    "processing": processing,
                    "alias": keys.alias,
                    "waiting": keys.waiting,
                    "workers": keys.workers,
                },
                args={"worker": self._worker, "lease": self._policy.lease_s},
            )
            # An empty entry is an entry, too: it belongs in the dead-letter list.
            return at_hand if at_hand is not None else self._next(processing, min(timeout_s, BLOCK_S))

    def _next(self, processing: str, timeout_s: float) -> bytes | None:
        """Block on the server until an entry comes: it is moved, never popped."""
        try:
            moved: bytes | None = self._blocking.blmove(
                self._keys.waiting, processing, timeout_s, "RIGHT", "LEFT"
            )
        except redis.exceptions.OutOfMemoryError:
            time.sleep(timeout_s)
            return None
        return moved

    def claim(self, job: Job, *, payload: bytes) -> Claim:
        keys, policy, token = self._keys, self._policy, secrets.token_hex(16)
        delivery_id = delivery_id_of(payload) if job.callback else ""
        with our_errors():
            verdict, *facts = self._scripts.call(
                "claim",
                keys={
                    **self._claim_keys(job.job_id),
                    "callbacks": keys.callbacks(job.job_id),
                    "deliveries": keys.deliveries(job.job_id),
                    "held": keys.held,
                    "held_bytes": keys.held_bytes,
                    "dead": keys.dead,
                    "outbox": keys.outbox,
                    "workers": keys.workers,
                    "order": keys.order,
                    "index": keys.index,
                    "history": keys.history,
                },
                args={
                    "payload": payload,
                    "job_id": job.job_id,
                    "token": token,
                    "last_token": self._last_token,
                    "worker": self._worker,
                    "lease": policy.lease_s,
                    "max_attempts": policy.max_attempts,
                    "ttl": policy.job_ttl_s,
                    "letter": encode_dead_letter(payload, EXHAUSTED.code),
                    "max_dead": policy.max_dead,
                    "delivery_prefix": keys.delivery_prefix,
                    "error": error_json(EXHAUSTED),
                    "delivery_id": delivery_id,
                    "callback": callback_json(job.callback),
                    "limits": limits_json(policy),
                    "options": options_json(job.options),
                },
            )
        if verdict == b"dead":
            raise AttemptsExhausted(job.job_id)
        if verdict == b"poisoned":
            raise MalformedJob(
                f"A key of job {job.job_id} in Redis has another type than the queue writes. Delete it.",
                payload=payload,
            )
        if verdict != b"claimed":
            raise ClaimRefused(text(verdict))
        self._last_token = token
        attempt, releases, waited_s, is_first = facts
        return Claim(
            job=job,
            payload=payload,
            token=token,
            attempt=int(attempt),
            releases=int(releases),
            waited_s=float(waited_s),
            is_first=is_first == b"1",
        )

    def dead_letter(self, payload: bytes, *, reason: str) -> None:
        keys = self._keys
        with our_errors():
            self._scripts.call(
                "dead_letter",
                keys={"processing": keys.processing(self._worker), "dead": keys.dead},
                args={
                    "payload": payload,
                    "letter": encode_dead_letter(payload, reason),
                    "max_dead": self._policy.max_dead,
                },
            )

    def heartbeat(self) -> None:
        with our_errors():
            self._scripts.call(
                "heartbeat",
                keys={"workers": self._keys.workers},
                args={"worker": self._worker, "lease": self._policy.lease_s},
            )

    def announce(self, abilities: Abilities) -> None:
        with our_errors():
            self._scripts.call(
                "announce",
                keys={"announced": self._keys.abilities, "workers": self._keys.workers},
                args={"worker": self._worker, "abilities": abilities.encode()},
            )

    def renew(
        self,
        claim: Claim,
        *,
        progress: float,
        model: str | None = None,
        requested_model: str | None = None,
        device: str | None = None,
        duration_s: float | None = None,
        fragments: Fragments | None = None,
    ) -> None:
        keys = self._keys
        self._run_fenced(
            "renew",
            claim,
            keys={
                "job": keys.job(claim.job.job_id),
                "workers": keys.workers,
                "all_fragments": keys.fragments,
            },
            args={
                "token": claim.token,
                "worker": self._worker,
                "lease": self._policy.lease_s,
                "progress": f"{min(progress, NEARLY_DONE):.4f}",
                "model": model or "",
                "requested_model": requested_model or "",
                "device": device or "",
                "duration": "" if duration_s is None else f"{duration_s:.3f}",
                "tag": fragments.tag if fragments else "",
                "fragments": fragments.encode() if fragments else "",
            },
        )

    def finish(self, claim: Claim, result: Result) -> None:
        self._run_fenced(
            "finish",
            claim,
            keys=self._ending_keys(claim.job.job_id),
            args={
                "token": claim.token,
                "payload": claim.payload,
                "job_id": claim.job.job_id,
                "model": result.model,
                "device": result.device,
                "requested_model": result.requested_model or "",
                "weights": result.weights_sha256,
                "stems": json.dumps(result.stems),
                "ttl": self._policy.job_ttl_s,
                "delivery_prefix": self._keys.delivery_prefix,
            },
        )

    def fail(self, claim: Claim, error: JobError) -> None:
        self._end_attempt(claim, error, max_attempts=0)

    def retry(self, claim: Claim, error: JobError) -> None:
        self._end_attempt(claim, error, max_attempts=self._policy.max_attempts)

    def _end_attempt(self, claim: Claim, error: JobError, *, max_attempts: int) -> None:
        keys = self._keys
        self._run_fenced(
            "fail",
            claim,
            keys={**self._ending_keys(claim.job.job_id), "waiting": keys.waiting, "dead": keys.dead},
            args={
                "token": claim.token,
                "payload": claim.payload,
                "job_id": claim.job.job_id,
                "error": error_json(error),
                "ttl": self._policy.job_ttl_s,
                "delivery_prefix": keys.delivery_prefix,
                "max_attempts": max_attempts,
                "letter": encode_dead_letter(claim.payload, error.code),
                "max_dead": self._policy.max_dead,
            },
        )

    def release(self, claim: Claim, *, delay_s: float = 0.0, error: JobError | None = None) -> None:
        keys = self._keys
        self._run_fenced(
            "release",
            claim,
            keys={**self._claim_keys(claim.job.job_id), "waiting": keys.waiting, "delayed": keys.delayed},
            args={
                "token": claim.token,
                "payload": claim.payload,
                "delay": delay_s,
                "error": error_json(error),
            },
        )

    def begin_cleanup(self, job_id: str) -> bool:
        keys = self._keys
        with our_errors():
            begun = self._scripts.call(
                "begin_cleanup",
                keys={"job": keys.job(job_id), "deletion": keys.deletion(source_of(job_id))},
                args={"ttl": DELETION_S},
            )
        return bool(begun)

    def end_cleanup(self, job_id: str) -> None:
        with our_errors():
            self._redis.delete(self._keys.deletion(source_of(job_id)))

    def deregister(self) -> None:
        keys = self._keys
        with our_errors():
            self._scripts.call(
                "deregister",
                keys={
                    "processing": keys.processing(self._worker),
                    "claims": keys.claims(self._worker),
                    "workers": keys.workers,
                    "waiting": keys.waiting,
                },
                args={"worker": self._worker},
            )

    def _claim_keys(self, job_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            "processing": keys.processing(self._worker),
            "claims": keys.claims(self._worker),
            "job": keys.job(job_id),
        }

    def _ending_keys(self, job_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            **self._claim_keys(job_id),
            "callbacks": keys.callbacks(job_id),
            "outbox": keys.outbox,
            "held": keys.held,
            "held_bytes": keys.held_bytes,
            "history": keys.history,
        }

    def _run_fenced(self, step: str, claim: Claim, *, keys: dict[str, str], args: dict[str, Any]) -> None:
        with our_errors():
            is_ours = self._scripts.call(step, keys=keys, args=args)
        if not is_ours:
            raise LeaseLost(f"The lease of job {claim.job.job_id} is lost.")
