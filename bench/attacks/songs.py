"""Songs that are altered in the store before their separation."""

from bench.attacks.target import INPUT, Attack, Target, song_id_of

from tests.faults.songs import song
from tests.servers import wait_until

_ENDS = ("done", "failed")
_ENDED_S = 300.0
MODEL = {"DEMUCS_MODEL": "starter", "HF_HUB_OFFLINE": "1"}


def alter_songs(target: Target) -> str:
    """Replace, cut and empty songs between their upload and their separation."""
    altered = {number: song(number, seconds=1) for number in range(1, 4)}
    for number, content in altered.items():
        assert target.post(content).ok
        path = target.store / INPUT / f"{song_id_of(content)}.mp3"
        path.write_bytes({1: song(8, seconds=1), 2: content[: len(content) // 2], 3: b""}[number])
    with target.running("msaas_worker"):
        found = [wait_for_end(target, song_id_of(content)) for content in altered.values()]
    names = ("another song", "half a song", "an empty file")
    return ", ".join(f"{name}: {_describe(job)}" for name, job in zip(names, found, strict=True))


def wait_for_end(target: Target, job_id: str) -> dict[str, object]:
    """Return the status of the job at its end."""
    wait_until(lambda: target.job(job_id)["state"] in _ENDS, timeout_s=_ENDED_S, every_s=0.2)
    return target.job(job_id)


def _describe(job: dict[str, object]) -> str:
    error = job["error"]
    code = f", `{error['code']}`" if isinstance(error, dict) else ""
    return f"`{job['state']}`{code} (attempts: {job['attempts']})"


ATTACKS = (
    Attack(
        row=11,
        damage="songs altered in the store before their separation",
        run=alter_songs,
        environment=MODEL,
    ),
)
