"""A full Redis, a full queue and invalid fields of jobs."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from bench.attacks.target import MIB, SONG, Attack, Target


@contextmanager
def redis_limit(target: Target, *, mib: float) -> Iterator[None]:
    client = target.redis.client()
    client.config_set("maxmemory", str(int(mib * MIB)))
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")
        client.flushall()


def list_the_queue(target: Target) -> str:
    client = target.redis.client()
    client.lpush("toWorkers", *(f"{number:064x}" for number in range(20_000)))
    size = len(target.get("/apiv1/queue").content)
    client.flushall()
    return f"{size / 1000:.0f} kB"


def probe_a_full_redis(target: Target) -> str:
    with redis_limit(target, mib=0.5):
        ready = target.get("/readyz").status_code
        song = target.post(SONG + b"full").status_code
    return f"`/readyz` is {ready}, a song is {song}"


def poison_a_status(target: Target) -> str:
    job = hashlib.sha256(SONG + b"poisoned").hexdigest()
    target.post(SONG + b"poisoned")
    client = target.redis.client()
    found = []
    for name, value in {"state": "weird", "progress": "nan"}.items():
        kept = client.hget(f"job:{job}", name)
        client.hset(f"job:{job}", name, value)
        answer = target.get(f"/apiv1/job/{job}")
        found.append(
            f"`{name}={value}` is {answer.status_code}{'' if _is_strict(answer.text) else ' with NaN'}"
        )
        client.hset(f"job:{job}", name, kept or "")
    client.flushall()
    return ", ".join(found)


def _is_strict(text: str) -> bool:
    constants: list[str] = []
    json.loads(text, parse_constant=constants.append)
    return not constants


ATTACKS = (
    Attack(row=8, damage="`/apiv1/queue` with 20,000 entries", run=list_the_queue),
    Attack(row=10, damage="a full Redis", run=probe_a_full_redis),
    Attack(row=10, damage="invalid fields of a job", run=poison_a_status),
)
