"""The demo: send every song of `data/`, wait for the stems and save them under `output/`."""

import os
import subprocess
import sys
import tempfile
import threading
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
from msaas_local.stack import Stack, running_stack, say, sleep_and_watch
from msaas_local.start_report import StartReport

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
    os.environ.setdefault("PORT", str(preferred_or_free(5000)))
    with tempfile.TemporaryDirectory(prefix="msaas-demo-") as home:
        os.environ.setdefault("MSAAS_HOME", home)
        return _run(LocalSettings.from_env(), stop_on_signals())


def _run(settings: LocalSettings, stopping: threading.Event) -> int:
    songs = sorted((_ROOT / "data").glob("*.mp3"))
    with running_stack(settings, quiet=True) as stack:
        _wait_until_ready(stack, stopping)
        say(f"sending {len(songs)} songs of data/ with sample-requests.py")
        _send_samples(stack.settings)
        rows = [row for song in songs for row in _separate(song, stack, stopping)]
    sys.stdout.write(format_table(rows))
    return 0 if rows and {row.song for row in rows} == {song.name for song in songs} else 1


def _wait_until_ready(stack: Stack, stopping: threading.Event) -> None:
    report = StartReport(stack, say, is_brief=True)
    report.begin()
    while not report.update():
        if sleep_and_watch(stack, stopping):
            raise SystemExit("The demo was stopped before the service was ready.")


def _send_samples(settings: LocalSettings) -> None:
    """Send the songs as clients do: with the script of the repository."""
    env = {**os.environ, "REST": settings.url.removeprefix("http://")}
    command = [sys.executable, str(_ROOT / "sample-requests.py")]
    subprocess.run(command, env=env, cwd=_ROOT, check=True)  # noqa: S603


def _separate(song: Path, stack: Stack, stopping: threading.Event) -> list[Row]:
    """Wait for the stems of a song and save them. Return a row for each, none if the job failed."""
    job_id = song_hash(song.read_bytes())
    status = _wait(job_id, stack, stopping, title=song.name)
    if status["state"] != JobState.DONE:
        error = status["error"] or {"detail": "no reason given"}
        say(f"{song.name}: {status['state']}. {error['detail']}")
        return []
    seconds = _to_unix(status["finished_at"]) - _to_unix(status["started_at"])
    say(f"{song.name}: {_describe_models(status, stack.settings)} on {status['device']}, {seconds:.1f} s")
    url = stack.settings.url
    return [Row(song.name, stem, seconds, _save(job_id, stem, song, url)) for stem in status["stems"]]


def _describe_models(status: dict[str, Any], settings: LocalSettings) -> str:
    asked, ran = status["requested_model"] or settings.demucs_model, status["model"]
    return f"separated by {ran}" if asked == ran else f"asked for {asked}, separated by {ran}"


def _to_unix(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def _wait(job_id: str, stack: Stack, stopping: threading.Event, *, title: str) -> dict[str, Any]:
    """Show the progress of a job until it ends. Return its status."""
    url = f"{stack.settings.url}/apiv1/job/{job_id}"
    with tqdm(total=100, desc=title, unit="%", bar_format="{desc:<24} {bar:40} {n:3.0f} % {elapsed}") as bar:
        while not stopping.wait(_POLL_S):
            stack.supervisor.watch()
            status = _ask(url)
            bar.update(100 * status.get("progress", 0) - bar.n)
            if status.get("state") in _ENDED:
                return status
    raise SystemExit("The demo was stopped before its songs were separated.")


def _ask(url: str) -> dict[str, Any]:
    """Return the status of a job, an empty one while the supervisor restarts the API."""
    try:
        return dict(requests.get(url, timeout=_TIMEOUT_S).json())
    except requests.RequestException:
        return {}


def _save(job_id: str, stem: str, song: Path, url: str) -> Path:
    response = requests.get(f"{url}/apiv1/track/{job_id}/{stem}.mp3", timeout=_TIMEOUT_S)
    response.raise_for_status()
    file = _ROOT / "output" / song.stem / f"{stem}.mp3"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(response.content)
    return file.relative_to(_ROOT)


def format_table(rows: list[Row]) -> str:
    """Return one line for each stem: song, stem, seconds of its job, file."""
    lines = [f"{'song':<24} {'stem':<8} {'seconds':>8}  file"]
    lines += [f"{row.song:<24} {row.stem:<8} {row.seconds:>8.1f}  {row.file}" for row in rows]
    return "\n".join(lines) + "\n"
