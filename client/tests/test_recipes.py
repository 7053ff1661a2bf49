"""The recipes of docs/recipes.md run as they stand there."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from worker.tests.songs import noise

from client.tests.conftest import write_songs
from client.tests.stack import MSAAS, Stack, environment, run
from msaas_worker.audio.decoded import SAMPLERATE
from tests.documents import find_blocks
from tests.servers import free_port, wait_until

pytestmark = pytest.mark.server

RECIPES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()


def block(beginning: str, *, kind: str = "sh") -> str:
    """Return the block of the recipe that begins so."""
    (found,) = (
        text
        for language, text in find_blocks(RECIPES)
        if (language, text[: len(beginning)]) == (kind, beginning)
    )
    return found


def run_block(stack: Stack, script: str, *, cwd: Path, code: int = 0) -> None:
    variables = environment(stack.url)
    variables["PATH"] = f"{MSAAS.parent}:{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script], cwd=cwd, env=variables, check=False, timeout=60, capture_output=True
    )
    assert done.returncode == code, done.stderr


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_karaoke_for_a_folder(stack: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    write_songs(tmp_path / "songs", request, count=2)
    run_block(stack, block("msaas separate --two-stems vocals --filename"), cwd=tmp_path)
    assert names(tmp_path / "karaoke") == {"song 0.no_vocals.mp3", "song 1.no_vocals.mp3"}


def test_a_cappella_as_flac(stack: Stack, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(SAMPLERATE, seed=7).T, SAMPLERATE)
    run_block(stack, block("msaas separate --stems vocals --flac"), cwd=tmp_path)
    assert names(tmp_path / "separated") == {"song (a cappella).flac"}


def test_ci_job_fails_with_a_song_and_keeps_the_objects(stack: Stack, tmp_path: Path) -> None:
    (script,) = re.findall(r"run: (msaas .*)", block("- run", kind="yaml"))
    (tmp_path / "tests").mkdir()
    soundfile.write(tmp_path / "tests" / "song.flac", noise(SAMPLERATE, seed=8).T, SAMPLERATE)
    run_block(stack, script, cwd=tmp_path)
    (tmp_path / "tests" / "broken.flac").write_bytes(b"not a song")
    run_block(stack, script, cwd=tmp_path, code=1)
    found = map(json.loads, (tmp_path / "stems.jsonl").read_text().splitlines())
    states = {each["file"]: (each["state"], bool(each["id"])) for each in found}
    assert states == {"tests/song.flac": ("done", True), "tests/broken.flac": ("failed", False)}


def test_cron_job_moves_what_is_done(stack: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """It runs with the variables of cron."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    write_songs(inbox, request, count=1)
    (inbox / "broken.mp3").write_bytes(b"not a song")
    for song in inbox.iterdir():
        os.utime(song, (time.time() - 300,) * 2)
    (inbox / "copied.mp3").write_bytes((inbox / "song 0.mp3").read_bytes())
    (tmp_path / ".msaas-key").write_text("key")
    script = block("#!/bin/sh").replace("/home/ann/msaas/.venv/bin", str(MSAAS.parent))
    script = script.replace("/home/ann", str(tmp_path)).replace("https://songs.example", stack.url)
    variables = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=variables, check=True, timeout=60)
    assert names(inbox) == {"broken.mp3", "copied.mp3"}
    assert names(tmp_path / "done") == {"song 0.mp3"}
    assert len(names(tmp_path / "stems" / "song 0")) == 4


def test_webhook_receiver_fetches_the_stems(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    port = str(free_port())
    variables = environment(stack.url)
    variables["PATH"] = f"{MSAAS.parent}:{variables['PATH']}"
    receiver = subprocess.Popen(
        [sys.executable, "-c", block("import json", kind="python").replace("8000", port)],
        cwd=tmp_path,
        env=variables,
        stderr=subprocess.DEVNULL,
    )
    try:
        callback = ("--callback", f"http://localhost:{port}/")
        job_id = run(stack.url, "separate", "--no-wait", *callback, song_file, cwd=tmp_path).stdout.strip()
        folder = tmp_path / "separated" / job_id
        wait_until(lambda: folder.is_dir() and len(list(folder.glob("[!.]*.mp3"))) == 4, timeout_s=30)
    finally:
        receiver.kill()
        receiver.wait()
