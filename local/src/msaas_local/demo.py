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
from msaas_local.history_table import format_history, wait_for_history
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
    #: None if the song was separated before, so that its times are not known.
    seconds: float | None
    file: Path


def main() -> int:
    """Return 0 when every song has all its stems on disk."""
    os.environ.setdefault("PORT", str(preferred_or_free(5000)))
    with tempfile.TemporaryDirectory(prefix="msaas-demo-") as home:
        os.environ.setdefault("MSAAS_HOME", home)
        return _run(LocalSettings.from_env(), stop_on_signals())


def _run(settings: LocalSettings, stopping: threading.Event) -> int:
    songs = find_songs(_ROOT / "data")
    with running_stack(settings, quiet=True) as stack:
        _wait_until_ready(stack, stopping)
        say(f"sending {len(songs)} songs of data/ with sample-requests.py")
        send_samples(stack.settings.url)
        rows = [row for song in songs for row in _separate(song, stack, stopping)]
        history = wait_for_history(stack.settings.url, [song_hash(song.read_bytes()) for song in songs])
    sys.stdout.write(f"{format_table(rows)}\n{format_history(history)}")
    return 0 if rows and {row.song for row in rows} == {song.name for song in songs} else 1


def _wait_until_ready(stack: Stack, stopping: threading.Event) -> None:
    report = StartReport(stack, say, is_brief=True)
    report.begin()
    while not report.update():
        if sleep_and_watch(stack, stopping):
            raise SystemExit("The demo was stopped before the service was ready.")


def find_songs(folder: Path) -> list[Path]:
    """Raises `SystemExit` if there are none."""
    songs = sorted(folder.glob("*.mp3"))
    if not songs:
        raise SystemExit(f"{folder} has no MP3. The demo needs the songs of the repository.")
    return songs


def send_samples(url: str) -> None:
    """Send the songs as clients do: with the script of the repository. Raises `SystemExit`."""
    env = {**os.environ, "REST": url.removeprefix("http://")}
    command = [sys.executable, str(_ROOT / "sample-requests.py")]
    ended = subprocess.run(command, env=env, cwd=_ROOT, check=False)  # noqa: S603
    if ended.returncode:
        raise SystemExit(f"sample-requests.py ended with code {ended.returncode}. Its lines above say why.")


def _separate(song: Path, stack: Stack, stopping: threading.Event) -> list[Row]:
    """Wait for the stems of a song and save them. Return a row for each, none if the job failed."""
    job_id = song_hash(song.read_bytes())
    status = _wait(job_id, stack, stopping, title=song.name)
    if status["state"] != JobState.DONE:
        error = status["error"] or {"detail": "no reason given"}
        say(f"{song.name}: {status['state']}. {error['detail']}")
        return []
    say(f"{song.name}: {describe_job(status, default_model=stack.settings.demucs_model)}")
    url, seconds = stack.settings.url, _seconds(status)
    return [
        Row(song.name, stem, seconds, save_stem(job_id, stem, song=song, url=url, folder=_ROOT / "output"))
        for stem in status["stems"]
    ]


def describe_job(status: dict[str, Any], *, default_model: str) -> str:
    """Return the models of a finished job, its device and its time, as far as they are known."""
    asked, ran = status["requested_model"] or default_model, status["model"]
    text = f"separated by {ran}" if asked == ran else f"asked for {asked}, separated by {ran}"
    device = f" on {status['device']}" if status["device"] else ""
    seconds = _seconds(status)
    return text + device + (f", {seconds:.1f} s" if seconds is not None else "")


def _seconds(status: dict[str, Any]) -> float | None:
    """Return the time of the job, None if the song was separated by an earlier one."""
    if not (status["started_at"] and status["finished_at"]):
        return None
    started, finished = (datetime.fromisoformat(status[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


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


def save_stem(job_id: str, stem: str, *, song: Path, url: str, folder: Path) -> Path:
    """Return the file below the parent of `folder`. Raises `SystemExit`."""
    file = folder / song.stem / f"{stem}.mp3"
    try:
        response = requests.get(f"{url}/apiv1/track/{job_id}/{stem}.mp3", timeout=_TIMEOUT_S)
        response.raise_for_status()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(response.content)
    except OSError as error:  # The errors of requests are among them.
        raise SystemExit(f"Stem {stem} of {song.name} was not saved: {error}") from None
    return file.relative_to(folder.parent)


def format_table(rows: list[Row]) -> str:
    """Return one line for each stem: song, stem, seconds of its job, file."""
    lines = [f"{'song':<24} {'stem':<8} {'seconds':>8}  file"]
    lines += [f"{row.song:<24} {row.stem:<8} {_format_seconds(row):>8}  {row.file}" for row in rows]
    return "\n".join(lines) + "\n"


def _format_seconds(row: Row) -> str:
    return "-" if row.seconds is None else f"{row.seconds:.1f}"
