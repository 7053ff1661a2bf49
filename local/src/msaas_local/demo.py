"""The demo sends every song of `data/`, waits for the stems and lays them under `output/`."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from msaas.jobs import JobState
from msaas.lifecycle import stop_on_signals
from msaas.songs import song_hash
from msaas_local.ports import preferred_or_free
from msaas_local.settings import LocalSettings
from msaas_local.stack import running_stack, say, wait_until_ready
from msaas_local.supervisor import Supervisor

_ROOT = Path(__file__).resolve().parents[3]
_POLL_S = 0.2
_TIMEOUT_S = 10.0
_ENDED = {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


@dataclass(frozen=True)
class Row:
    song: str
    stem: str
    seconds: float
    file: Path


def main() -> int:
    """Return 0 when every song has all its stems on disk."""
    os.environ.setdefault("MODEL_FALLBACK", "starter")
    os.environ.setdefault("PORT", str(preferred_or_free(5000)))
    with tempfile.TemporaryDirectory(prefix="msaas-demo-") as home:
        os.environ.setdefault("MSAAS_HOME", home)
        return _demonstrate(LocalSettings.from_env())


def _demonstrate(settings: LocalSettings) -> int:
    stopping = stop_on_signals()
    songs = sorted((_ROOT / "data").glob("*.mp3"))
    with running_stack(settings, quiet=True) as supervisor:
        wait_until_ready(settings, supervisor, stopping)
        say(f"ready at {settings.url}, sending {len(songs)} songs")
        _send_samples(settings)
        rows = [row for song in songs for row in _separated(song, settings.url, supervisor, stopping)]
    _print_table(rows)
    return 0 if rows and {row.song for row in rows} == {song.name for song in songs} else 1


def _send_samples(settings: LocalSettings) -> None:
    """As a client does it: the script that travels with the service."""
    env = {**os.environ, "REST": f"{settings.host}:{settings.port}"}
    command = [sys.executable, str(_ROOT / "sample-requests.py")]
    subprocess.run(command, env=env, cwd=_ROOT, check=True)  # noqa: S603


def _separated(song: Path, url: str, supervisor: Supervisor, stopping: threading.Event) -> list[Row]:
    job_id = song_hash(song.read_bytes())
    status = _wait(job_id, url, supervisor, stopping, title=song.name)
    if status["state"] != JobState.DONE:
        say(f"{song.name} {status['state']}: {status['error']}")
        return []
    seconds = _instant(status["finished_at"]) - _instant(status["started_at"])
    say(f"{song.name} was separated by {status['model']} on {status['device']}")
    return [Row(song.name, stem, seconds, _save(job_id, stem, song, url)) for stem in status["stems"]]


def _instant(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def _wait(
    job_id: str, url: str, supervisor: Supervisor, stopping: threading.Event, *, title: str
) -> dict[str, Any]:
    with tqdm(total=100, desc=title, unit="%", bar_format="{desc:<24} {bar:40} {n:3.0f} % {elapsed}") as bar:
        while not stopping.is_set():
            supervisor.watch()
            status = requests.get(f"{url}/apiv1/job/{job_id}", timeout=_TIMEOUT_S).json()
            bar.update(100 * status["progress"] - bar.n)
            if status["state"] in _ENDED:
                return dict(status)
            time.sleep(_POLL_S)
    raise SystemExit("The demo was ended before its songs were.")


def _save(job_id: str, stem: str, song: Path, url: str) -> Path:
    response = requests.get(f"{url}/apiv1/track/{job_id}/{stem}.mp3", timeout=_TIMEOUT_S)
    response.raise_for_status()
    file = _ROOT / "output" / song.stem / f"{stem}.mp3"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(response.content)
    return file.relative_to(_ROOT)


def _print_table(rows: list[Row]) -> None:
    lines = [f"{'song':<24} {'stem':<8} {'seconds':>8}  file"]
    lines += [f"{row.song:<24} {row.stem:<8} {row.seconds:>8.1f}  {row.file}" for row in rows]
    sys.stdout.write("\n".join(lines) + "\n")
