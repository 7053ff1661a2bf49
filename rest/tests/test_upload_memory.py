"""Memory of the service during a large upload to an S3 store: flat, whatever the size of the song."""

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME

from tests.servers import S3Access

_MIB = 1024 * 1024
#: The buffers of one upload: parts of 8 MiB for the store, chunks of 256 KiB, pages of the mapped song.
_ALLOWED_MIB = 32
_HEAD = b'--b\r\nContent-Disposition: form-data; name="mp3"; filename="song.mp3"\r\n\r\n'
_TAIL = b"\r\n--b--\r\n"


def song_of(size_mib: int) -> Iterator[bytes]:
    frames = FRAME * (_MIB // len(FRAME))
    for _ in range(size_mib):
        yield frames


def form_of(size_mib: int) -> Iterator[bytes]:
    yield _HEAD
    yield from song_of(size_mib)
    yield _TAIL


def reset_peak(process: psutil.Process) -> None:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_bytes(process: psutil.Process) -> int:
    """Return the largest resident set since the last reset."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return 1024 * int(match.group(1))


@pytest.mark.parametrize(("kind", "size_mib"), [("audio/mpeg", 100), ("multipart/form-data; boundary=b", 50)])
def test_memory_stays_flat_during_a_large_upload(
    shared: Start, s3_server: S3Access, kind: str, size_mib: int
) -> None:
    limits = {"MAX_UPLOAD_MB": "600", "MAX_DURATION_S": "100000"}
    service = shared(STORE_DIR="", **limits, **s3_server.environment)
    assert service.send(FRAME * 100).status_code == 200
    serving = service.serving
    reset_peak(serving)
    before_bytes = peak_bytes(serving)
    body = song_of(size_mib) if kind == "audio/mpeg" else form_of(size_mib)
    answer = service.call("POST", "/apiv1/separate", data=body, headers={"Content-Type": kind}, timeout=120)
    assert answer.status_code == 200, answer.text
    (stored,) = [each for each in service.song_store.songs() if each.size_bytes > 100 * len(FRAME)]
    assert stored.size_bytes == size_mib * (_MIB // len(FRAME)) * len(FRAME)
    assert peak_bytes(serving) - before_bytes < _ALLOWED_MIB * _MIB
