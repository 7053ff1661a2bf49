"""Clients that download slowly: the memory of the service does not grow with what they ask for."""

import asyncio
import io
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rest.tests.conftest import Start
from rest.tests.service import Service, store_stems

from msaas.fragments import Fragments
from msaas.jobs import Job
from msaas.models import FOUR_STEMS
from msaas.storage.song_store import SongStore
from tests.attacks.crowd import measure
from tests.servers import S3Access, wait_until

JOB = "a" * 64
#: A stem of four minutes at 320 kbit/s.
STEM_BYTES = 9_600_000
_HEAD = b"HTTP/1.1 200 "


#: Of two hours: two bytes for every 512 samples at 44.1 kHz.
PEAKS_BYTES = 1_240_312
#: The longest fragment, of 51.2 s.
FRAGMENT_BYTES = 2_048_000
TRACK, ARCHIVE, PEAKS = f"track/{JOB}/bass.mp3", f"archive/{JOB}.zip", f"job/{JOB}/peaks/bass"
FRAGMENT = f"job/{JOB}/pieces/bass/1"


def store_result(song_store: SongStore, *, stems: tuple[str, ...] = ("bass",), size_bytes: int) -> None:
    """Store a result in which `stems` have this size, and the peaks of the bass."""
    store_stems(song_store, JOB)
    manifest = song_store.manifest(JOB)
    assert manifest is not None
    files = {stem: song_store.put_stem(JOB, stem, io.BytesIO(bytes(size_bytes))) for stem in stems}
    song_store.put_manifest(replace(manifest, stems={**manifest.stems, **files}))
    song_store.put_peaks(JOB, "bass", files["bass"], bytes(PEAKS_BYTES))


def publish_fragment(service: Service) -> None:
    """Bring the job to its first fragment."""
    service.song_store.prepare()
    fragments = Fragments(job_id=JOB, tag="t", stems=FOUR_STEMS)
    service.song_store.fragments.put(fragments, "bass", number=1, mp3=bytes(FRAGMENT_BYTES))
    service.queue.enqueue(Job(job_id=JOB))
    worker = service.queue.consumer("w1")
    payload = worker.take(timeout_s=5) or b""
    claim = worker.claim(Job.decode(payload), payload=payload)
    worker.renew(claim, progress=0.1, fragments=fragments.with_next(until_s=51.2))


def start_reader(port: int, *, path: str = TRACK, headers: str = "") -> socket.socket:
    """Ask for a file, and read nothing of it."""
    reader = socket.socket()
    reader.settimeout(60)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", port))
    target = path if path.startswith("/") else f"/apiv1/{path}"
    reader.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    return reader


@pytest.mark.long
@pytest.mark.fault("T2")
@pytest.mark.parametrize("readers", [100, pytest.param(1000, marks=pytest.mark.chaos)])
@pytest.mark.parametrize(
    ("path", "least_bytes"),
    [(TRACK, STEM_BYTES), (ARCHIVE, 4 * STEM_BYTES), (PEAKS, PEAKS_BYTES), (FRAGMENT, FRAGMENT_BYTES)],
    ids=["track", "archive", "peaks", "fragment"],
)
@pytest.mark.parametrize("store", ["directory", "s3"])
def test_slow_readers_take_little_memory_each(
    request: pytest.FixtureRequest,
    start: Start,
    figure: Callable[[str], None],
    *,
    store: str,
    path: str,
    least_bytes: int,
    readers: int,
) -> None:
    environment = {}
    if store == "s3":
        s3: S3Access = request.getfixturevalue("s3_server")
        environment = {"STORE_DIR": "", **s3.environment}
    service = start(**environment)
    if path == FRAGMENT:
        publish_fragment(service)
    else:
        store_result(service.song_store, stems=FOUR_STEMS, size_bytes=STEM_BYTES)
    assert len(service.get(f"/apiv1/{path}").content) >= least_bytes
    before_mib = memory_mib(service)
    port = service.settings.port
    crowd: list[socket.socket] = []
    try:
        for _ in range(readers):
            # One after the other: the S3 server of the tests hashes the object at each request.
            reader = start_reader(port, path=path)
            crowd.append(reader)
            assert (head := reader.recv(13, socket.MSG_WAITALL)) == _HEAD, head + reader.recv(2000)
        waits = asyncio.run(measure(port, "/apiv1/queue", requests=50))
        grown_mib = memory_mib(service) - before_mib
        assert service.serving.num_threads() < 120
    finally:
        for reader in crowd:
            reader.close()
    figure(f"{store}, {readers} readers of {path.replace(JOB, '<id>')}: +{grown_mib:.0f} MiB, others {waits}")
    assert waits.failed == 0
    assert grown_mib <= 40 + 0.2 * readers
    wait_until(lambda: not established(service))


@pytest.mark.fault("T2")
@pytest.mark.parametrize("readers", [1000, pytest.param(7000, marks=pytest.mark.chaos)])
def test_long_answers_that_are_not_read_take_bounded_memory_in_all(
    start: Start, figure: Callable[[str], None], *, readers: int
) -> None:
    """Past a sum, the connections end that have waited longest. All others are answered."""
    service = start()
    size_bytes = len(service.get("/docs/swagger-ui-bundle.js").content)
    before_mib = memory_mib(service)
    port = service.settings.port
    crowd: list[socket.socket] = []
    try:
        for _ in range(readers):
            reader = start_reader(port, path="/docs/swagger-ui-bundle.js")
            crowd.append(reader)
            assert reader.recv(13, socket.MSG_WAITALL) == _HEAD
        waits = asyncio.run(measure(port, "/apiv1/queue", requests=50))
        grown_mib = memory_mib(service) - before_mib
        assert len(service.get("/docs/swagger-ui-bundle.js").content) == size_bytes
        open_readers = established(service)
    finally:
        for reader in crowd:
            reader.close()
    figure(
        f"{readers} readers of {size_bytes / 1e6:.1f} MB from memory: +{grown_mib:.0f} MiB, "
        f"{readers - open_readers} ended, others {waits}"
    )
    assert waits.failed == 0
    assert grown_mib <= 450
    assert open_readers < readers


@pytest.mark.fault("T2")
def test_many_ranges_of_a_large_stem_write_nothing(
    start: Start, figure: Callable[[str], None], tmp_path: Path
) -> None:
    """The first request verifies the stem. The others wait for it, and nothing is copied."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    service = start(TMPDIR=str(scratch))
    store_result(service.song_store, size_bytes=288_000_000)
    before_mib = memory_mib(service)
    read_before = service.serving.io_counters().read_chars
    crowd = [start_reader(service.settings.port, headers=f"Range: bytes={at}-{at}\r\n") for at in range(16)]
    for reader in crowd:
        assert reader.recv(13, socket.MSG_WAITALL) == b"HTTP/1.1 206 "
        reader.close()
    read_bytes = service.serving.io_counters().read_chars - read_before
    grown_mib = memory_mib(service) - before_mib
    figure(f"16 ranges of 288 MB: {read_bytes / 1e6:.0f} MB read, +{grown_mib:.0f} MiB")
    assert read_bytes < 1.1 * 288_000_000
    assert grown_mib < 32
    assert list(scratch.iterdir()) == []


def memory_mib(service: Service) -> float:
    return float(service.serving.memory_info().rss) / 2**20


def established(service: Service) -> int:
    connections = service.serving.net_connections("tcp")
    port = service.settings.port
    return sum(each.status == "ESTABLISHED" and each.laddr.port == port for each in connections)
