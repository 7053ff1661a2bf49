"""Many songs in one call."""

import sys
import threading
from pathlib import Path

import psutil
import pytest

from client.tests.conftest import write_songs
from client.tests.stack import Stack, started

pytestmark = [pytest.mark.server, pytest.mark.long]

_SONGS = 100
#: Growth of the resident memory between the 20th song and the last one.
_MAX_GROWTH_BYTES = 2 << 20


def test_memory_does_not_grow_with_the_number_of_songs(
    stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    songs = write_songs(tmp_path, request, count=_SONGS, seconds=0.5)
    sizes: list[int] = []
    with started(stack.url, "separate", "--json", *songs, cwd=tmp_path) as process:
        assert process.stdout
        memory = psutil.Process(process.pid)
        errors = threading.Thread(target=process.stderr.read)  # type: ignore[union-attr]
        errors.start()
        for line in process.stdout:
            assert '"state": "done"' in line
            if process.poll() is None:
                sizes.append(memory.memory_info().rss)
        assert process.wait(60) == 0
    assert len(sizes) >= _SONGS - 1
    growth = max(sizes[-20:]) - min(sizes[20:40])
    sys.stderr.write(f"resident memory: {sizes[20] >> 10} KiB, growth {growth >> 10} KiB\n")
    assert growth < _MAX_GROWTH_BYTES
