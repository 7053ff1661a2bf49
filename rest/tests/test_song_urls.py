"""Songs of URLs: fetched within the limits, from public addresses, and refused with a name otherwise."""

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.song_site import (
    SongSite,
    chunked,
    compressed,
    drip,
    drip_headers,
    endless,
    file,
    redirect,
)
from rest.tests.test_access import assert_problem

from msaas.errors import SongTooLarge, UrlRefused, UrlUnreachable
from msaas.songs import song_hash
from msaas_rest.http.disk_budget import DiskBudget
from msaas_rest.http.fetched import FetchWanted
from msaas_rest.http.fetching import Fetcher
from msaas_rest.http.url_fetch import FetchPolicy, UrlFetch
from tests.servers import absent, free_port, wait_until

MP3 = FRAME * 200
HASH = song_hash(MP3)
MIB = 1024 * 1024
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
ANSWERS = {
    "/song": file(MP3),
    "/chunked": chunked(MP3),
    "/moved": redirect("/song", status=301),
    "/loop": redirect("/loop"),
    "/four": redirect("/three"),
    "/three": redirect("/two"),
    "/two": redirect("/moved"),
    "/metadata": redirect("http://169.254.169.254/latest"),
    "/ftp": redirect("ftp://127.0.0.1/a"),
    "/gzip": compressed(bytes(100 * MIB)),
    "/cut": file(MP3, length=len(MP3) + 1),
    "/empty": file(b""),
    "/text": file(b"not a song"),
    "/large": file(bytes(MIB + 1)),
    "/announced": file(b"", length=10 * MIB),
    "/endless": endless,
    "/partial": file(MP3, status=206),
    "/drip": drip,
    "/headers": drip_headers,
}


@pytest.fixture
def fetching(shared: Start) -> Service:
    return shared(FETCH_ALLOW_PRIVATE="127.0.0.0/8", DEBUG_ENDPOINTS="1", MAX_UPLOAD_MB="1")


def send(service: Service, url: str, **options: Any) -> requests.Response:
    return service.send_as_json({"url": url, **options})


@pytest.mark.parametrize("path", ["/song", "/song?token=secret", "/chunked", "/moved", "/four"])
def test_song_of_a_url_is_separated(fetching: Service, path: str) -> None:
    with SongSite(ANSWERS) as site:
        answer = send(fetching, site.url(path))
    assert (answer.status_code, answer.json()["hash"]) == (200, HASH)
    assert b"".join(fetching.song_store.song(HASH)) == MP3
    assert fetching.work().job_id == HASH
    assert site.headers["accept-encoding"] == "identity"
    assert "token=secret" not in fetching.log.read_text()


@pytest.mark.parametrize("kind", ["data", "params", "files"])
def test_url_is_a_field_of_forms_and_queries(fetching: Service, kind: str) -> None:
    with SongSite(ANSWERS) as site:
        fields: dict[str, Any] = {"url": site.url("/song"), "model": "mdx"}
        fields = {name: (None, text) for name, text in fields.items()} if kind == "files" else fields
        answer = fetching.call("POST", "/apiv1/separate", **{kind: fields})
    assert answer.status_code == 200
    assert fetching.work(model="mdx").options == {"model": "mdx"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/absent", 422, "url_unreachable"),
        ("/partial", 422, "url_unreachable"),
        ("/cut", 422, "url_unreachable"),
        ("/gzip", 422, "url_unreachable"),
        ("/loop", 422, "url_unreachable"),
        ("/metadata", 422, "url_refused"),
        ("/ftp", 422, "url_refused"),
        ("/large", 413, "song_too_large"),
        ("/announced", 413, "song_too_large"),
        ("/endless", 413, "song_too_large"),
        ("/empty", 400, "missing_song"),
        ("/text", 415, "not_audio"),
    ],
)
def test_failed_fetch_has_a_name(fetching: Service, path: str, status: int, code: str) -> None:
    with SongSite(ANSWERS) as site:
        assert_problem(send(fetching, site.url(path)), status, code)
    assert fetching.get("/apiv1/queue").json()["queue"] == []


@pytest.mark.parametrize(
    "url",
    [
        "song.mp3",
        "ftp://songs.example/a.mp3",
        "file:///etc/passwd",
        "https://",
        "https://ann:secret@songs.example/a.mp3",
        "http://songs.example:0/",
        "http://songs.example:99999/",
        "http://[::1/",
        "https://songs.example/" + "a" * 9000,
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://[::1]/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_url_that_is_not_public_is_refused(service: Service, url: str) -> None:
    answer = send(service, url)
    assert_problem(answer, 422, "url_refused")
    assert "secret" not in answer.text


def test_site_that_does_not_answer_is_named(fetching: Service) -> None:
    assert_problem(send(fetching, f"http://127.0.0.1:{free_port()}/"), 422, "url_unreachable")
    assert_problem(send(fetching, "http://no-such-host.invalid/"), 422, "url_unreachable")


def test_fetches_of_one_client_are_few_and_delay_no_other_call(fetching: Service) -> None:
    may_go_on = threading.Event()

    def wait_and_send(request: Any) -> None:
        may_go_on.wait(20)
        file(MP3)(request)

    with SongSite({"/wait": wait_and_send}) as site:
        answers: list[requests.Response] = []
        threads = [
            threading.Thread(target=lambda: answers.append(send(fetching, site.url("/wait"))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(site.requested) == 8)
        assert_problem(send(fetching, site.url("/wait")), 503, "too_busy")
        assert fetching.send(MP3).status_code == 200
        assert fetching.get("/apiv1/models").status_code == 200
        may_go_on.set()
        for thread in threads:
            thread.join(20)
    assert [answer.status_code for answer in answers] == [200] * 8


class Steady:
    """Sends 64 KiB every 50 ms, and sees the end of the connection."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def __call__(self, request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(bytes(64 * 1024))
                time.sleep(0.05)
        except OSError:
            self.ended.set()


def connect(service: Service, url: str, headers: str = "") -> socket.socket:
    """Send a request, and read nothing."""
    client = socket.create_connection(("127.0.0.1", service.settings.port))
    client.sendall(f"POST /apiv1/separate?url={url} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    return client


def test_fetch_ends_when_its_client_leaves(shared: Start) -> None:
    service = shared(FETCH_ALLOW_PRIVATE="127.0.0.0/8", DEBUG_ENDPOINTS="1")
    steady = Steady()
    with SongSite({"/steady": steady}) as site:
        with connect(service, site.url("/steady")):
            wait_until(lambda: site.requested)
            assert not steady.ended.wait(0.3)
        assert steady.ended.wait(5)
    wait_until(lambda: "url_fetch_cancelled" in service.log.read_text())
    assert service.get("/apiv1/queue").json()["queue"] == []


def test_fetch_of_a_request_with_a_key_outlives_its_client(fetching: Service) -> None:
    """The client asks again for the reply."""
    may_go_on = threading.Event()

    def wait_and_send(request: Any) -> None:
        may_go_on.wait(20)
        file(MP3)(request)

    with SongSite({"/wait": wait_and_send}) as site:
        with connect(fetching, site.url("/wait"), "Idempotency-Key: 1\r\n"):
            wait_until(lambda: site.requested)
        time.sleep(0.3)
        may_go_on.set()
        wait_until(lambda: fetching.get("/apiv1/queue").json()["queue"] == [HASH])
        answer = fetching.call(
            "POST",
            "/apiv1/separate",
            params={"url": site.url("/wait")},
            headers={"Idempotency-Key": "1"},
        )
        assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (200, "true")
        assert len(site.requested) == 1


def test_cancelled_fetch_ends_while_it_waits_for_room() -> None:
    async def run() -> None:
        budget = DiskBudget(4 * MIB)
        fetcher = Fetcher(budget=budget, policy=FetchPolicy(private=LOOPBACK))
        wanted = FetchWanted(site.url("/chunked"), max_bytes=2 * MIB, client="ann", outlives_client=False)

        async def open_file() -> None:
            async with fetcher.open_file(wanted):
                pass

        with budget.admit(client="ann", expected_bytes=2 * MIB) as other:
            await budget.take(other, 2 * MIB)
            fetching = asyncio.ensure_future(open_file())
            done, _ = await asyncio.wait([fetching], timeout=0.5)
            assert not done
            fetching.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(fetching, timeout=5)
            assert fetching.cancelled()
            assert budget.taken_bytes == 2 * MIB
        await asyncio.wait_for(open_file(), timeout=5)

    with SongSite(ANSWERS) as site:
        asyncio.run(run())


def fetch(url: str, *, max_bytes: int = MIB, **policy: Any) -> bytes:
    steps: list[bytes] = []
    run = UrlFetch(
        policy=FetchPolicy(private=LOOPBACK, **policy),
        max_bytes=max_bytes,
        on_size=lambda size_bytes: None,
        write=steps.append,
    )
    run.run(url)
    return b"".join(steps)


@pytest.mark.parametrize("path", ["/drip", "/headers"])
def test_slow_site_is_cut(path: str) -> None:
    with SongSite(ANSWERS) as site:
        started = time.monotonic()
        with pytest.raises(UrlUnreachable, match="too long"):
            fetch(site.url(path), grace_s=0.5)
        assert 0.4 < time.monotonic() - started < 5


def test_site_at_the_minimum_rate_is_read_to_its_end() -> None:
    def steady(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(10):
            request.wfile.write(bytes(128 * 1024))
            request.wfile.flush()
            time.sleep(0.2)

    with SongSite({"/steady": steady}) as site:
        content = fetch(site.url("/steady"), max_bytes=2 * MIB, grace_s=1.0, min_bytes_per_s=256 * 1024)
    assert len(content) == 10 * 128 * 1024


def test_fetch_ends_at_its_longest_time() -> None:
    def steady(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(bytes(128 * 1024))
            time.sleep(0.05)

    with SongSite({"/steady": steady}) as site, pytest.raises(UrlUnreachable, match="too long"):
        fetch(site.url("/steady"), max_bytes=1000 * MIB, grace_s=0.5, max_s=1.0)


def test_fetch_stops_at_the_limit() -> None:
    with SongSite(ANSWERS) as site:
        with pytest.raises(SongTooLarge):
            fetch(site.url("/endless"))
        with pytest.raises(UrlRefused, match="FETCH_ALLOW_PRIVATE"):
            fetch(site.url("/metadata"))


@pytest.fixture
def secure_site(tmp_path: Path) -> Iterator[tuple[SongSite, Path]]:
    """A site with https, and its certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        absent("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    command = [openssl, "req", *options, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with SongSite(ANSWERS | {"/down": redirect("http://localhost/")}, tls=context) as site:
        yield site, certificate


def test_certificate_of_a_site_is_checked(
    secure_site: tuple[SongSite, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, certificate = secure_site
    with pytest.raises(UrlUnreachable, match="SSLError"):
        fetch(site.url("/song"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    assert fetch(site.url("/moved")) == MP3
    with pytest.raises(UrlRefused, match="https to http"):
        fetch(site.url("/down"))
    with pytest.raises(UrlUnreachable, match="too long"):
        fetch(site.url("/drip"), grace_s=0.5)
