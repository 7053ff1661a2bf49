"""Songs that are altered in the store, and results that retention removes."""

import hashlib
import os
import time

from bench.attacks.target import INPUT, OUTPUT, Attack, Target

from tests.faults.songs import song
from tests.servers import wait_until

_ENDS = ("done", "failed")
_ENDED_S = 300.0
_DAY_S = 24 * 3600
#: Half a minute: the sweeps are a tenth of it apart.
_RETENTION = {"RETENTION_HOURS": "0.01"}
_MODEL = {"DEMUCS_MODEL": "starter", "HF_HUB_OFFLINE": "1"}


def alter_songs(target: Target) -> str:
    """Replace, cut and empty songs between their upload and their separation."""
    altered = {number: song(number, seconds=1) for number in range(1, 4)}
    for number, content in altered.items():
        assert target.post(content).ok
        path = target.store / INPUT / f"{_id(content)}.mp3"
        path.write_bytes({1: song(8, seconds=1), 2: content[: len(content) // 2], 3: b""}[number])
    with target.running("msaas_worker"):
        found = [_wait_for_end(target, _id(content)) for content in altered.values()]
    names = ("another song", "half a song", "an empty file")
    return ", ".join(f"{name}: {_describe(job)}" for name, job in zip(names, found, strict=True))


def expire_a_result(target: Target) -> str:
    """Make a result old, wait for retention, ask for it and send the song again."""
    content = song(9, seconds=1)
    assert target.post(content).ok
    with target.running("msaas_worker"):
        _wait_for_end(target, _id(content))
    _make_old(target)
    with target.running("msaas_worker", "msaas_keeper", **_RETENTION):
        wait_until(lambda: not _stored(target), timeout_s=_ENDED_S)
        state = target.get(f"/apiv1/job/{_id(content)}")
        stem = target.get(f"/apiv1/track/{_id(content)}/bass.mp3")
    shown = f"200, `{state.json()['state']}`" if state.ok else f"{state.status_code}"
    return f"the job is {shown}, its stem {stem.status_code}"


def _make_old(target: Target) -> None:
    """Date all objects back by a day, and forget that a client asked for them a moment ago."""
    day_ago = time.time() - _DAY_S
    for path in _stored(target):
        os.utime(path, (day_ago, day_ago))
    client = target.redis.client()
    for key in client.scan_iter("toWorkers:requested:*"):
        client.delete(key)


def _stored(target: Target) -> list[str]:
    return [str(path) for bucket in (INPUT, OUTPUT) for path in (target.store / bucket).glob("[!.]*")]


def _wait_for_end(target: Target, job_id: str) -> dict[str, object]:
    wait_until(lambda: target.job(job_id)["state"] in _ENDS, timeout_s=_ENDED_S, every_s=0.2)
    return target.job(job_id)


def _describe(job: dict[str, object]) -> str:
    error = job["error"]
    code = f", `{error['code']}`" if isinstance(error, dict) else ""
    return f"`{job['state']}`{code} (attempts: {job['attempts']})"


def _id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


ATTACKS = (
    Attack(
        row=11,
        damage="songs altered in the store before their separation",
        run=alter_songs,
        environment=_MODEL,
    ),
    Attack(
        row=11,
        damage="a finished job whose result retention removed",
        run=expire_a_result,
        environment=_MODEL,
    ),
)
