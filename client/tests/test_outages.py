"""The command while its server is busy, restarts, or loses connections."""

from pathlib import Path

import pytest
import requests
from rest.tests.service import start_service
from rest.tests.song_site import SongSite, file

from client.tests.conftest import write_songs
from client.tests.stack import Stack, hash_of, run, running_stack, started, wait_for_job
from msaas.jobs import JobState
from tests.servers import free_port, wait_until
from tests.system import STEMS
from tests.tcp_proxy import Cut, tcp_proxy

pytestmark = pytest.mark.server


@pytest.mark.parametrize(("patience", "least", "most"), [("0", 1, 1), ("2", 3, 9)])
def test_patience_is_the_time_for_a_busy_server(
    patience: str, least: int, most: int, song_file: Path, tmp_path: Path
) -> None:
    """No real server is busy for ever: the site answers 503."""
    with SongSite({f"/apiv1/song/{hash_of(song_file)}": file(b"", status=503)}) as site:
        done = run(site.url(""), "separate", "--patience", patience, song_file, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert least <= len(site.requested) <= most


def test_songs_are_waited_for_while_the_server_restarts(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    port = str(free_port())
    (song,) = write_songs(tmp_path, request, count=1, seconds=60.0)
    with running_stack(tmp_path / "restarted", PORT=port) as stack:
        with started(stack.url, "separate", song, cwd=tmp_path) as process:
            wait_for_job(stack, JobState.RUNNING)
            stack.service.kill()
            wait_until(lambda: stack.state(hash_of(song)) is JobState.DONE)
            assert process.poll() is None
            again = start_service(tmp_path, **{**stack.system.environment, "PORT": port})
            try:
                shown, errors = process.communicate(timeout=60)
            finally:
                again.kill()
    assert (process.returncode, errors) == (0, "")
    assert len(shown.splitlines()) == len(STEMS)


def test_upload_that_is_cut_is_sent_again_as_one_request(
    idle_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    (song,) = write_songs(tmp_path, request, count=1, seconds=60.0)
    sent_bytes = 0

    def cut(chunk: bytes) -> bytes:
        nonlocal sent_bytes
        sent_bytes += len(chunk)
        if sent_bytes > song.stat().st_size / 2:
            proxy.mend()
            raise Cut
        return chunk

    with tcp_proxy("127.0.0.1", idle_stack.port) as proxy:
        proxy.requests = cut
        done = run(f"http://{proxy.address}", "separate", "--no-wait", song, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hash_of(song)}\n", "")
    assert sent_bytes < song.stat().st_size
    with idle_stack.client() as client:
        other = client.separate(song)
        url = f"{idle_stack.url}/apiv1/job/{other.id}"
        left = requests.delete(url, params={"request_id": other.request_id}, timeout=10).json()
        assert left["requests"] == 1
        client.cancel(other.id)
