"""The library against a running service and worker."""

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from rest.tests.service import start_service
from rest.tests.song_site import SongSite, chunked, file

from client.tests.conftest import KEY, write_songs
from client.tests.stack import Stack, running_stack
from msaas.jobs import JobState
from msaas_client import (
    Client,
    DamagedDownload,
    InvalidReply,
    JobFailed,
    Options,
    Refused,
    RequestFailed,
    RetryPolicy,
    State,
    Unreachable,
    WaitTimeout,
)
from tests.servers import free_port
from tests.system import STEMS
from tests.tcp_proxy import Cut, TcpProxy, tcp_proxy

pytestmark = pytest.mark.server


def separate(client: Client, song: Path, options: Options = Options()) -> str:
    """Separate a song; return the id of the job, which is done."""
    return client.wait(client.separate(song, options).id).id


# Separate


def test_song_becomes_stems(stack: Stack, client: Client, song_file: Path, tmp_path: Path) -> None:
    seen: list[State] = []
    submission = client.separate(song_file)
    job = client.wait(submission.id, on_change=lambda job: seen.append(job.state))
    assert (job.state, job.stems, job.extension) == (State.DONE, STEMS, "mp3")
    assert job.id == hashlib.sha256(song_file.read_bytes()).hexdigest()
    assert seen[-1] is State.DONE
    paths = client.download_all(job, tmp_path / "stems")
    assert {stem: path.read_bytes() for stem, path in paths.items()} == stack.system.stems(job.id)
    assert sorted(tmp_path.glob("stems/*")) == sorted(paths.values())


def test_options_reach_the_service(client: Client, song_file: Path, tmp_path: Path) -> None:
    options = Options(two_stems="vocals", format="flac", bits="16", overlap=0.5, exact_sum=True)
    job = client.wait(client.separate(song_file, options).id)
    assert (job.stems, job.extension) == (("vocals", "no_vocals"), "flac")
    assert client.download_all(job, tmp_path)["vocals"].read_bytes().startswith(b"fLaC")


def test_upload_reports_its_bytes_and_is_not_repeated(client: Client, song_file: Path) -> None:
    first: list[int] = []
    again: list[int] = []
    job_id = client.separate(song_file, on_bytes=first.append).id
    assert (first, first[-1]) == (sorted(first), song_file.stat().st_size)
    assert client.separate(song_file, Options(format="wav"), on_bytes=again.append).id.startswith(job_id)
    assert again == []


def test_jobs_are_listed_page_by_page(
    idle_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with idle_stack.client() as client:
        sent = [client.separate(each).id for each in write_songs(tmp_path, request, count=3)]
        assert [job.id for job in client.jobs(limit=3)] == sent[::-1]
        assert [job.id for job in client.jobs(states=(State.DONE,))] == []
        for each in sent:
            assert client.cancel(each) is State.CANCELLED


def test_models_limits_and_readiness_are_read(client: Client) -> None:
    assert [model.name for model in client.models() if model.is_default] == ["htdemucs"]
    assert {"mp3", "flac", "wav"} <= set(client.limits().formats)
    assert client.readiness().is_ready
    assert client.readiness().workers == 1


# Follow


def test_cancelled_job_ends_the_wait(idle_stack: Stack, song_file: Path) -> None:
    with idle_stack.client() as client:
        submission = client.separate(song_file)
        threading.Timer(0.5, lambda: client.cancel(submission.id, request_id=submission.request_id)).start()
        with pytest.raises(JobFailed) as failure:
            client.wait(submission.id)
    assert failure.value.job.state is State.CANCELLED


def test_cancel_is_repeated_as_the_client_allows() -> None:
    with SongSite({}) as site:
        site.answers["/apiv1/job/id"] = file(b"", status=503)
        with Client(site.url(""), retries=RetryPolicy(patience_s=0)) as client:
            with pytest.raises(RequestFailed):
                client.cancel("id")
            assert len(site.requested) == 1
            with pytest.raises(RequestFailed):
                client.cancel("id", patience_s=1)
            assert len(site.requested) > 2


def test_cancel_of_one_request_leaves_the_others(idle_stack: Stack, song_file: Path) -> None:
    with idle_stack.client() as client:
        first, second = client.separate(song_file), client.separate(song_file)
        assert client.cancel(first.id, request_id=first.request_id) is State.QUEUED
        assert client.cancel(second.id, request_id=second.request_id) is State.CANCELLED


def test_wait_ends_in_time_and_the_job_goes_on(idle_stack: Stack, song_file: Path) -> None:
    with idle_stack.client() as client:
        job_id = client.separate(song_file).id
        began = time.monotonic()
        with pytest.raises(WaitTimeout):
            client.wait(job_id, timeout_s=1.0)
        assert time.monotonic() - began == pytest.approx(1.0, abs=1.0)
        assert client.job(job_id).state is State.QUEUED
        client.cancel(job_id)


def test_wait_ends_in_time_while_the_server_is_away(idle_stack: Stack, song_file: Path) -> None:
    with tcp_proxy("127.0.0.1", idle_stack.port) as proxy, Client(f"http://{proxy.address}") as client:
        job_id = client.separate(song_file).id
        for break_down in (proxy.refuse, proxy.silence):
            break_down()
            began = time.monotonic()
            with pytest.raises(WaitTimeout):
                client.wait(job_id, timeout_s=1.0)
            assert time.monotonic() - began == pytest.approx(1.0, abs=1.0)
            proxy.mend()
        client.cancel(job_id)


def test_wait_for_a_server_that_never_answered_ends_at_once_with_its_reason() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        client.wait("a" * 64, timeout_s=10.0)


def test_job_is_followed_without_room_for_a_stream(idle_stack: Stack, song_file: Path) -> None:
    with idle_stack.client() as client:
        job_id = client.separate(song_file).id
        events = f"{idle_stack.url}/apiv1/job/{job_id}/events"
        streams = [requests.get(events, stream=True, timeout=10) for _ in range(64)]
        assert requests.get(events, stream=True, timeout=10).status_code == 503
        threading.Timer(0.5, lambda: client.cancel(job_id)).start()
        assert [job.state for job in client.follow(job_id)][-1] is State.CANCELLED
        for each in streams:
            each.close()


# Errors


def test_errors_of_the_api_have_their_codes(client: Client, song_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestFailed) as failure:
        client.separate(song_file, Options(model="htdemucs_7s"))
    assert (failure.value.status, failure.value.code) == (422, "unknown_model")
    assert "Choose one of htdemucs" in str(failure.value)
    with pytest.raises(RequestFailed) as failure:
        client.job("0" * 64)
    assert (failure.value.status, failure.value.code) == (404, "job_not_found")
    noise = tmp_path / "noise.mp3"
    noise.write_bytes(b"not a song")
    with pytest.raises(RequestFailed) as failure:
        client.separate(noise)
    assert (failure.value.status, failure.value.code) == (415, "not_audio")


def test_server_that_never_answered_is_unreachable_at_once() -> None:
    began = time.monotonic()
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable) as failure:
        client.models()
    assert time.monotonic() - began < 2
    assert "Connection refused" in str(failure.value)


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://ann:key@host", "http://host/?a=b"])
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL of the server"):
        Client(url)


# Servers that are busy, away, and back


def ask_often(client: Client) -> None:
    for _ in range(8):
        list(client.jobs(limit=1))


def test_retry_after_is_honoured(keyed_stack: Stack) -> None:
    with keyed_stack.client(api_key=KEY) as client:
        began = time.monotonic()
        ask_often(client)
        assert time.monotonic() - began >= 1
    impatient = RetryPolicy(patience_s=0)
    with (
        keyed_stack.client(api_key=KEY, retries=impatient) as client,
        pytest.raises(RequestFailed) as failure,
    ):
        ask_often(client)
    assert (failure.value.status, failure.value.code) == (429, "too_many_requests")
    assert failure.value.retry_after_s is not None
    assert failure.value.retry_after_s >= 1


def test_missing_and_wrong_keys_are_refused(keyed_stack: Stack, song_file: Path) -> None:
    for key in (None, "wrong-key"):
        with keyed_stack.client(api_key=key) as client, pytest.raises(Refused):
            client.separate(song_file)


@pytest.fixture
def proxy(stack: Stack) -> TcpProxy:
    """The service behind a proxy that can cut its connections."""
    with tcp_proxy("127.0.0.1", stack.port) as proxy:
        yield proxy


def test_job_is_waited_for_while_the_server_restarts(tmp_path: Path, song_file: Path) -> None:
    port = str(free_port())
    with running_stack(tmp_path / "restarted", workers=0, PORT=port) as stack, stack.client() as client:
        job_id = client.separate(song_file).id
        ended: list[State] = []
        waiting = threading.Thread(target=lambda: ended.append(list(client.follow(job_id))[-1].state))
        waiting.start()
        time.sleep(0.5)
        stack.service.kill()
        time.sleep(1.0)
        assert waiting.is_alive()
        again = start_service(tmp_path, **{**stack.system.environment, "PORT": port})
        try:
            client.cancel(job_id)
            waiting.join(30)
        finally:
            again.kill()
    assert ended == [State.CANCELLED]


def test_server_that_stays_away_is_unreachable_in_the_end(proxy: TcpProxy) -> None:
    with Client(f"http://{proxy.address}", retries=RetryPolicy(patience_s=1)) as client:
        client.models()
        proxy.refuse()
        began = time.monotonic()
        with pytest.raises(Unreachable):
            client.models()
    # The shortest pauses are 0.125 and 0.25 s. The third one may be too long.
    assert 0.37 < time.monotonic() - began < 5


def test_reply_that_is_lost_makes_no_second_request(idle_stack: Stack, song_file: Path) -> None:
    with tcp_proxy("127.0.0.1", idle_stack.port) as proxy, Client(f"http://{proxy.address}") as client:

        def lose(chunk: bytes) -> bytes:
            if b"Song enqueued" in chunk:
                proxy.mend()
                raise Cut
            return chunk

        client.models()
        proxy.replies = lose
        submission = client.separate(song_file)
        # One request waits: its cancellation ends the job.
        assert client.cancel(submission.id, request_id=submission.request_id) is State.CANCELLED
    assert idle_stack.state(submission.id) is JobState.CANCELLED


# Downloads


@pytest.fixture
def done(client: Client, song_file: Path) -> str:
    """The id of a job that is done."""
    return separate(client, song_file)


def test_download_that_was_cut_goes_on(stack: Stack, proxy: TcpProxy, done: str, tmp_path: Path) -> None:
    expected, passed, cuts = stack.system.stem(done, "vocals"), 0, 0

    def cut(chunk: bytes) -> bytes:
        nonlocal passed, cuts
        passed += len(chunk)
        if passed > len(expected) // 2 and not cuts:
            cuts += 1
            raise Cut
        return chunk

    with Client(f"http://{proxy.address}") as client:
        client.models()
        proxy.replies = cut
        starts: list[int] = []
        client.download(done, "vocals", tmp_path / "vocals.mp3", on_bytes=starts.append)
    assert cuts == 1
    assert (tmp_path / "vocals.mp3").read_bytes() == expected
    assert starts == sorted(starts)


def test_download_of_an_earlier_process_goes_on(
    stack: Stack, client: Client, done: str, tmp_path: Path
) -> None:
    expected, target = stack.system.stem(done, "vocals"), tmp_path / "vocals.mp3"
    part = tmp_path / f".vocals.mp3.{hashlib.sha256(expected).hexdigest()[:12]}.part"
    part.write_bytes(expected[:20_000])
    received: list[int] = []
    client.download(done, "vocals", target, on_bytes=received.append)
    assert received[0] > 20_000
    assert target.read_bytes() == expected
    assert list(tmp_path.glob(".*")) == []


def test_damaged_download_is_refused_and_then_made_anew(
    stack: Stack, client: Client, done: str, tmp_path: Path
) -> None:
    expected, target = stack.system.stem(done, "vocals"), tmp_path / "vocals.mp3"
    part = tmp_path / f".vocals.mp3.{hashlib.sha256(expected).hexdigest()[:12]}.part"
    part.write_bytes(b"x" * 20_000)
    with pytest.raises(DamagedDownload):
        client.download(done, "vocals", target)
    assert not target.exists()
    client.download(done, "vocals", target)
    assert target.read_bytes() == expected


def test_file_that_is_there_is_not_fetched_again(client: Client, done: str, tmp_path: Path) -> None:
    target = client.download(done, "vocals", tmp_path / "vocals.mp3")
    before = target.stat().st_mtime_ns
    client.download(done, "vocals", target)
    assert target.stat().st_mtime_ns == before


def test_downloads_of_one_stem_do_not_disturb_each_other(
    stack: Stack, client: Client, done: str, tmp_path: Path
) -> None:
    """The second one begins and ends while the first one has its part open."""
    target, seconds = tmp_path / "vocals.mp3", list[Path]()

    def fetch_again(received: int) -> None:
        if not seconds:
            with stack.client() as other:
                seconds.append(other.download(done, "vocals", target))

    client.download(done, "vocals", target, on_bytes=fetch_again)
    assert seconds == [target]
    assert target.read_bytes() == stack.system.stem(done, "vocals")
    assert list(tmp_path.glob(".*")) == []


def test_download_of_unknown_length_is_an_invalid_reply(tmp_path: Path) -> None:
    with SongSite({"/apiv1/track/id/vocals": chunked(b"")}) as site, Client(site.url("")) as client:
        with pytest.raises(InvalidReply, match="Content-Length"):
            client.download("id", "vocals", tmp_path / "vocals.mp3")
        assert site.headers["accept-encoding"] == "identity"


def test_program_of_the_guide_runs(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    program = Path(__file__).with_name("program.py")
    command = [sys.executable, program, stack.url, song_file, tmp_path / "stems"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/stems/vocals.flac\n"), done.stderr
