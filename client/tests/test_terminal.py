"""The command in a terminal: bars and colours."""

import os
import pty
import re
import subprocess
import termios
from pathlib import Path

import pytest

from client.tests.stack import MSAAS, Stack, environment, run
from tests.system import STEMS

pytestmark = pytest.mark.server


def run_in_terminal(url: str, *arguments: str | Path, cwd: Path, **variables: str) -> tuple[int, str]:
    """Run the command in a terminal; return its exit code and all that it showed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    process = subprocess.Popen(
        [MSAAS, *map(str, arguments)],
        cwd=cwd,
        env=environment(url, TERM="xterm", **variables),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        shown += chunk
    os.close(ours)
    return process.wait(60), shown.decode()


def test_terminal_shows_a_bar_for_each_song(stack: Stack, songs: list[Path], tmp_path: Path) -> None:
    code, shown = run_in_terminal(stack.url, "separate", *(song.name for song in songs), cwd=tmp_path)
    assert code == 0
    for song in songs:
        assert f"{song.name} is sent: 100 % |" in shown
        assert f"{song.name} is separated: " in shown
    paths = [line.strip() for line in shown.split("\n") if line.strip().endswith(".mp3")]
    assert len(paths) == 2 * len(STEMS)
    # Each begins a line: the bars are gone.
    assert len(re.findall(r"[\r\n](?:\x1b\[A)*separated/", shown)) == 2 * len(STEMS)


def test_colours_are_for_terminals_and_can_be_turned_off(stack: Stack, tmp_path: Path) -> None:
    arguments = ("status", "0" * 64)
    assert "\x1b[31merror:" in run_in_terminal(stack.url, *arguments, cwd=tmp_path)[1]
    assert "\x1b" not in run_in_terminal(stack.url, *arguments, cwd=tmp_path, NO_COLOR="1")[1]
    assert "\x1b" not in run(stack.url, *arguments, cwd=tmp_path).stderr
