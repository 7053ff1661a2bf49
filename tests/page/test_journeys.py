"""Journeys through the page in both browsers, on the stack of `make up`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker.tests.references import require, run

from tests.journeys.stack import SONGS, Stack, running
from tests.page.node import BROWSERS, require_page, run_node

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(1000)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_page(*BROWSERS)
    # A test serves a song from this machine.
    with running(tmp_path_factory.mktemp("page") / "home", FETCH_ALLOW_PRIVATE="127.0.0.0/8") as stack:
        yield stack


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of 58 s: two songs, twice. Its separation can be watched."""
    require("ffmpeg")
    path = tmp_path_factory.mktemp("song") / "Night train.mp3"
    inputs = [part for song in (*SONGS, *SONGS) for part in ("-i", str(song))]
    joined = ("-filter_complex", f"concat=n={2 * len(SONGS)}:v=0:a=1", "-b:a", "192k")
    run("ffmpeg", "-v", "error", *inputs, *joined, str(path))
    return path


@pytest.mark.parametrize("browser", BROWSERS)
def test_visitors_reach_their_aims(browser: str, stack: Stack, song: Path) -> None:
    facts = {"URL": stack.url, "STACK_PID": str(stack.process.pid), "SONG": str(song)}
    run_node("journey.test.mjs", browser=browser, timeout_s=900, **facts)
