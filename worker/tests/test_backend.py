"""Uploads of archives to a real HTTP server that fails in every way."""

import base64
import io
import tarfile
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from structlog.typing import EventDict

from msaas.errors import BackendUnavailable, LeaseLost, ResultRefused, SeparationFailed, SongDeleted
from msaas.result_facts import ResultFacts
from msaas.stem_tar import TAR_STEMS, ExtraFiles
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.sources.backend import Backend as Client
from msaas_worker.sources.policy import SourcePolicy
from tests.backend import TOKEN, Answer, Backend, cut, status
from tests.faults.songs import song
from tests.servers import free_port

HASH = "a" * 64
POLICY = SourcePolicy(
    first_upload_delay_s=0.01, max_upload_delay_s=0.05, rejected_delay_s=0.01, upload_patience_s=30.0
)
IMPATIENT = SourcePolicy(
    first_upload_delay_s=0.01, max_upload_delay_s=0.05, rejected_delay_s=0.01, upload_patience_s=0.2
)


class Attempt(UnattendedAttempt):
    """Is lost after a number of looks."""

    def __init__(self, *, lost_after: int = 10**9) -> None:
        self.left = lost_after
        self.verified = 0

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise LeaseLost("lost")

    def report_progress(self, share: float | None = None) -> None:
        self.check()

    def verify(self) -> None:
        self.verified += 1


@pytest.fixture
def stems(tmp_path: Path) -> dict[str, Path]:
    files = {stem: tmp_path / stem for stem in TAR_STEMS}
    for number, file in enumerate(files.values()):
        file.write_bytes(song(number))
    return files


def client(backend: Backend, *, policy: SourcePolicy = POLICY, token: str | None = TOKEN) -> Client:
    return Client.at(backend.url, token=token, policy=policy)


def contents(stems: dict[str, Path]) -> dict[str, bytes]:
    return {stem: file.read_bytes() for stem, file in stems.items()}


def test_archive_arrives_with_its_length_and_the_token(stems: dict[str, Path]) -> None:
    with Backend() as backend:
        client(backend).upload(HASH, stems, Attempt())
    [upload] = backend.uploads
    assert upload.path == f"/songs/{HASH}/upload_result"
    assert upload.headers["authorization"] == f"Bearer {TOKEN}"
    assert upload.headers["content-type"] == "application/x-tar"
    assert "transfer-encoding" not in upload.headers
    assert backend.songs == {HASH: [contents(stems)]}


@pytest.mark.parametrize(
    ("addr", "token", "url", "sent"),
    [
        ("https://host", "TOKEN", "https://host", "Bearer TOKEN"),
        ("https://host:8443/base/", "TOKEN", "https://host:8443/base", "Bearer TOKEN"),
        ("https://w:TOKEN@host", None, "https://host", "Basic " + base64.b64encode(b"w:TOKEN").decode()),
        ("https://w:a%40b@host", None, "https://host", "Basic " + base64.b64encode(b"w:a@b").decode()),
        ("https://w:other@host", "TOKEN", "https://host", "Bearer TOKEN"),
        ("http://[::1]:5000", None, "http://[::1]:5000", ""),
    ],
)
def test_token_is_a_bearer_or_the_user_of_the_url(addr: str, token: str | None, url: str, sent: str) -> None:
    backend = Client.at(addr, token=token)
    assert (backend.url, backend.authorization.value) == (url, sent)
    assert not sent or sent.split()[1] not in repr(backend)


def test_netrc_does_not_replace_the_token(
    stems: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Backend() as backend:
        client(backend).upload(HASH, stems, Attempt())
    assert [each.headers["authorization"] for each in backend.uploads] == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("failure", [status(500), status(502), status(503), status(429), status(408), cut])
def test_failed_upload_is_sent_again(stems: dict[str, Path], failure: Answer) -> None:
    attempt = Attempt()
    with Backend(answers=[failure, failure]) as backend:
        client(backend).upload(HASH, stems, attempt)
    assert backend.songs == {HASH: [contents(stems)]}
    assert (len(backend.uploads), attempt.verified) == (3, 3)


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(stems: dict[str, Path], code: int) -> None:
    began = time.monotonic()
    with Backend(answers=[status(code)], retry_after="1") as backend:
        client(backend).upload(HASH, stems, Attempt())
    assert 1 <= time.monotonic() - began < 5


@pytest.mark.parametrize("code", [400, 404, 409, 413, 415, 422])
def test_refused_result_is_not_sent_again(stems: dict[str, Path], code: int) -> None:
    with Backend(answers=[status(code)]) as backend:
        with pytest.raises(ResultRefused, match=rf"HTTP {code}\): the reason"):
            client(backend).upload(HASH, stems, Attempt())
    assert len(backend.uploads) == 1


@pytest.fixture
def extras(tmp_path: Path) -> ExtraFiles:
    analysis = tmp_path / "analysis"
    analysis.write_bytes(b"{}")
    return ExtraFiles(analysis=analysis)


def test_further_files_arrive(stems: dict[str, Path], extras: ExtraFiles) -> None:
    with Backend(answers=[status(503)]) as backend:
        client(backend).upload(HASH, stems, Attempt(), extras=extras)
    assert (backend.songs, backend.extras) == ({HASH: [contents(stems)]}, [{"analysis.json": b"{}"}])


def test_result_that_is_refused_with_further_files_is_sent_without_them(
    stems: dict[str, Path], extras: ExtraFiles, log_lines: list[EventDict]
) -> None:
    with Backend(answers=[status(400), status(503)]) as backend:
        client(backend).upload(HASH, stems, Attempt(), extras=extras)
    assert (backend.songs, backend.extras) == ({HASH: [contents(stems)]}, [{}])
    [line] = [line for line in log_lines if line["event"] == "extras_refused"]
    assert (line["log_level"], "HTTP 400" in line["reason"]) == ("warning", True)


def test_result_that_is_refused_without_further_files_as_well_is_refused(
    stems: dict[str, Path], extras: ExtraFiles
) -> None:
    with Backend(answers=[status(400), status(400)]) as backend, pytest.raises(ResultRefused):
        client(backend).upload(HASH, stems, Attempt(), extras=extras)
    assert len(backend.uploads) == 2


def test_result_of_a_deleted_song_is_not_sent_again(stems: dict[str, Path]) -> None:
    with Backend(answers=[status(410)]) as backend:
        with pytest.raises(SongDeleted):
            client(backend).upload(HASH, stems, Attempt())
    assert len(backend.uploads) == 1


def test_model_that_ran_is_named(stems: dict[str, Path]) -> None:
    facts = ResultFacts(model="mdx", weights_sha256="ab" * 32, engine="demucs 4.1 cpu")
    with Backend() as backend:
        client(backend).upload(HASH, stems, Attempt(), facts=facts)
    [upload] = backend.uploads
    sent = {name.title(): value for name, value in upload.headers.items()}
    assert ResultFacts.of(sent) == facts


@pytest.mark.parametrize("code", [401, 403, 302, 308])
def test_rejected_worker_keeps_the_song_and_logs_an_error(
    stems: dict[str, Path], code: int, log_lines: list[EventDict]
) -> None:
    with Backend(answers=[status(code)]) as backend:
        client(backend).upload(HASH, stems, Attempt())
    assert len(backend.uploads) == 2
    [line] = [line for line in log_lines if line["event"] == "upload_failed"]
    assert line["log_level"] == "error"
    assert str(code) in line["reason"]
    assert all(each.path.startswith("/songs/") for each in backend.uploads)


def test_wrong_token_is_an_outage_of_this_worker(stems: dict[str, Path]) -> None:
    with Backend() as backend, pytest.raises(BackendUnavailable, match="WORKER_TOKEN"):
        client(backend, policy=IMPATIENT, token="wrong").upload(HASH, stems, Attempt())
    assert not backend.songs


def test_unreachable_backend_is_an_outage(stems: dict[str, Path]) -> None:
    url = f"http://w:{TOKEN}@127.0.0.1:{free_port()}"
    with pytest.raises(BackendUnavailable, match="cannot be reached") as failed:
        Client.at(url, token=None, policy=IMPATIENT).upload(HASH, stems, Attempt())
    assert TOKEN not in str(failed.value)


def test_backend_that_always_fails_on_a_result_counts_against_it(stems: dict[str, Path]) -> None:
    with Backend(answers=[status(500)] * 100) as backend, pytest.raises(SeparationFailed, match="HTTP 500"):
        client(backend, policy=IMPATIENT).upload(HASH, stems, Attempt())


@pytest.mark.parametrize("looks", [0, 1, 2, 5])
def test_lost_song_ends_the_upload(stems: dict[str, Path], looks: int) -> None:
    with Backend() as backend:
        with pytest.raises(LeaseLost):
            client(backend).upload(HASH, stems, Attempt(lost_after=looks))
        time.sleep(0.1)
    assert not backend.songs


def test_lost_song_ends_the_wait_between_uploads(stems: dict[str, Path]) -> None:
    policy = SourcePolicy(first_upload_delay_s=60.0, upload_patience_s=600.0)
    with Backend(answers=[status(503)]) as backend, pytest.raises(LeaseLost):
        client(backend, policy=policy).upload(HASH, stems, Attempt(lost_after=30))
    assert len(backend.uploads) == 1


def test_tar_of_an_upload_is_a_plain_archive(stems: dict[str, Path]) -> None:
    bodies: list[bytes] = []

    def keep(request: BaseHTTPRequestHandler) -> int:
        bodies.append(request.rfile.read(int(request.headers["Content-Length"])))
        return 200

    with Backend(answers=[keep]) as backend:
        client(backend).upload(HASH, stems, Attempt())
    with tarfile.open(fileobj=io.BytesIO(bodies[0])) as archive:
        assert archive.getnames() == ["bass.mp3", "drums.mp3", "other.mp3", "vocals.mp3"]
