"""Callbacks: a full Redis, numbers that are not JSON, receivers that ask for a delay, a cloud's addresses."""

import json
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from bench.attacks.queue import redis_limit
from bench.attacks.release import Release
from bench.attacks.target import MIB, SONG, SONG_ID, Attack, Check, Target

from tests.receiver import Receiver, status
from tests.servers import wait_until

#: Addresses that a cloud answers on inside its network: WireServer of Azure, and metadata of several.
_PLATFORMS = ("168.63.129.16", "169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
_ASK = """
import ipaddress, sys
try:
    from msaas.webhooks.ssrf_guard import is_allowed
except ImportError:
    from msaas_worker.destinations import is_allowed
print(*(each for each in sys.argv[1:] if is_allowed(ipaddress.ip_address(each), ())))
"""


def send_callbacks(target: Target) -> str:
    callback = json.dumps({"url": "http://127.0.0.1:9/", "data": "x" * 60_000})
    with redis_limit(target, mib=6):
        statuses = Counter(target.post(SONG, callback=callback).status_code for _ in range(150))
        used = target.redis.client().info("memory")["used_memory"] / MIB
        other = target.post(SONG + b"another").status_code
    return f"{dict(statuses)}, Redis uses {used:.1f} MiB, the next song is {other}"


def send_infinity(target: Target) -> str:
    callback = '{"url": "http://127.0.0.1:9/", "data": [1e999]}'
    return f"{target.post(SONG, callback=callback).status_code}"


def ask_for_delay(target: Target) -> str:
    """The keeper delivers, or the worker of a release without one."""
    deliverer = "msaas_keeper" if target.release.has("msaas_keeper") else "msaas_worker"
    with Receiver(answers=[status(503, **{"Retry-After": "3600"})]) as receiver:
        target.post(SONG, callback=json.dumps({"url": receiver.url}))
        with target.running(deliverer):
            wait_until(lambda: _next_attempt(target, attempts=1), timeout_s=120)
            return f"the next attempt is {_next_attempt(target, attempts=1)} s later"


def _next_attempt(target: Target, *, attempts: int) -> int | None:
    """Return the seconds until the next attempt, or None before so many are recorded as failed."""
    (found,) = target.get(f"/apiv1/job/{SONG_ID}/callbacks").json()["callbacks"]
    if found["attempts"] < attempts or not found["detail"]:
        return None
    return round(datetime.fromisoformat(found["next_attempt_at"]).timestamp() - time.time())


def name_platforms(release: Release, folder: Path) -> str:
    """Ask the code of the release. No packet is sent."""
    allowed = release.run(_ASK, *_PLATFORMS).split()
    return f"allowed: {', '.join(allowed) or 'none'}"


ATTACKS = (
    Attack(row=3, damage="150 callbacks of 60 kB for a finished song, Redis of 6 MiB", run=send_callbacks),
    Attack(row=12, damage="`1e999` in `data`", run=send_infinity),
    Attack(
        row=12,
        damage="a receiver answers 503 with `Retry-After: 3600`",
        run=ask_for_delay,
        environment={"CALLBACK_ALLOW_PRIVATE": "1", "MODEL_FALLBACK": "starter", "HF_HUB_OFFLINE": "1"},
    ),
)
CHECKS = (Check(row=12, damage=f"{len(_PLATFORMS)} addresses of cloud platforms", run=name_platforms),)
