"""Times of a warm service: ten times the length, the same song again, the first playable second."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import Cost, Pairs
from bench.report import Findings, Goal
from bench.service import Service
from bench.songs import seconds_of, write_song

from tests.cluster.kube import new_song
from tests.servers import wait_until

_TEN = 10
_AGAIN_MS = 50.0
_FIRST_SECOND_S = 5.0
_LENGTH_COST = 10.2
_POLL_S = 0.02
_ENDED_S = 600.0
_PLAYABLE = "playable_until_s"


def length(service: Service, *, seconds: float, pairs: int, folder: Path) -> Findings:
    """Compare a song with one ten times as long.

    Choose `seconds` a little below a whole number of strides: then the long song has exactly ten times the
    segments, and rounding up favours neither.
    """
    short, long = (write_song(folder, seconds=each) for each in (seconds, _TEN * seconds))
    measured = Pairs()
    for _ in range(pairs):
        first = Cost.of(lambda: service.separate(long), cpu_s=service.cpu_s)
        measured.add(first, Cost.of(lambda: service.separate(short), cpu_s=service.cpu_s))
    row = measured.summary()
    return Findings(
        f"A song of {_TEN * seconds:g} s against one of {seconds:g} s",
        {"ten times the length": row},
        {
            "costs × (min-max)": "{ratio:.2f} ({ratio_min:.2f}-{ratio_max:.2f})",
            "pairs": "{pairs}",
            "in CPU time": "{cpu_ratio:.2f}",
            "long s": "{reference_s:.2f}",
            "short s": "{seconds:.2f}",
        },
        (Goal("10 × the length costs ×", row["ratio"], at_most=_LENGTH_COST),),
    )


def again(service: Service, *, lengths_s: tuple[float, ...], requests: int, folder: Path) -> Findings:
    rows = {
        f"{seconds:g} s": _repeat_requests(service, new_song(write_song(folder, seconds=seconds)), requests)
        for seconds in lengths_s
    }
    goals = [goal for name, row in rows.items() for goal in _again_goals(name, row)]
    columns = {
        "median ms": "{median_ms:.1f}",
        "p99 ms": "{p99_ms:.1f}",
        "requests": "{requests}",
        "model runs": "{model_runs}",
        "all stems fetched, ms": "{fetch_ms:.1f}",
    }
    return Findings("The same song again, from the upload to the status `done`", rows, columns, tuple(goals))


def _again_goals(name: str, row: dict[str, Any]) -> list[Goal]:
    return [
        Goal(f"{name} song again, median ms", row["median_ms"], at_most=_AGAIN_MS),
        Goal(f"{name} song again, model runs", row["model_runs"], at_most=0, is_gate=True),
    ]


def _repeat_requests(service: Service, mp3: bytes, requests: int) -> dict[str, Any]:
    job_id = service.send_and_wait(mp3)
    ended = service.api.job(job_id)["finished_at"]
    answers_ms, runs = [], 0
    for _ in range(requests):
        started = time.perf_counter()
        service.api.send(mp3)
        job = service.api.job(job_id)
        answers_ms.append(1000 * (time.perf_counter() - started))
        runs += job["state"] != "done" or job["finished_at"] != ended
    return {
        "median_ms": statistics.median(answers_ms),
        "p99_ms": statistics.quantiles(answers_ms, n=100, method="inclusive")[-1],
        "requests": requests,
        "model_runs": runs,
        "fetch_ms": 1000 * Cost.of(lambda: service.stems(job_id)).wall_s,
    }


def first_second(service: Service, *, seconds: float, songs: int, folder: Path) -> Findings:
    title = f"The first playable second of a song of {seconds:g} s, from the upload until the client has it"
    song = write_song(folder, seconds=seconds)
    found = [_time_first_second(service, new_song(song)) for _ in range(songs)]
    heard = [each for each in found if each]
    if len(heard) < songs:
        return Findings(title, {}, {}, skipped=f"the job has no field `{_PLAYABLE}`")
    row = {
        "median_s": statistics.median(each.waited_s for each in heard),
        "most_s": max(each.waited_s for each in heard),
        "least_heard_s": min(each.heard_s for each in heard),
        "songs": songs,
    }
    columns = {
        "median s": "{median_s:.2f}",
        "most s": "{most_s:.2f}",
        "seconds of each stem then": "{least_heard_s:.2f}",
        "songs": "{songs}",
    }
    goals = (
        Goal(f"first playable second of {seconds:g} s, s", row["median_s"], at_most=_FIRST_SECOND_S),
        Goal("sound in the first fragments, s", row["least_heard_s"], at_least=1, is_gate=True),
    )
    return Findings(title, {"four stems": row}, columns, goals)


@dataclass(frozen=True)
class Beginning:
    """`waited_s` until the client had `heard_s` of the shortest stem."""

    waited_s: float
    heard_s: float


def _time_first_second(service: Service, mp3: bytes) -> Beginning | None:
    """Return None if the job reports nothing playable. The job has ended in either case."""
    started = time.perf_counter()
    job_id = service.api.send(mp3)
    wait_until(lambda: _is_playable(service.api.job(job_id)), timeout_s=_ENDED_S, every_s=_POLL_S)
    heard = service.fragments(job_id) or service.stems(service.send_and_wait(mp3))
    waited_s = time.perf_counter() - started
    if _PLAYABLE not in service.api.job(service.send_and_wait(mp3)):
        return None
    return Beginning(waited_s, min(seconds_of(sound) for sound in heard.values()))


def _is_playable(job: dict[str, Any]) -> bool:
    """Return whether the first second is playable, or the job has ended."""
    return (job.get(_PLAYABLE) or 0) >= 1 or job["state"] in {"done", "failed"}
