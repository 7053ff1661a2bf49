"""nginx in front of `rest`: the configuration of deploy/nginx with a real nginx and a real `rest`."""

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml
from rest.tests.service import FRAME, Service, start_service

from msaas_rest.settings import RestSettings
from tests.manifests.nginx import CONFIG, NAME, NginxServer, nginx_running
from tests.manifests.rendering import ROOT
from tests.servers import RedisServer, redis_running, wait_until

pytestmark = [pytest.mark.process, pytest.mark.server]

TOKEN = "a-token-of-workers"
MIB = 1024 * 1024
MP3 = FRAME * 100


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def rest(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("rest")
    (folder / "store").mkdir()
    service = start_service(
        folder,
        REDIS_PORT=str(redis.port),
        STORE_DIR=str(folder / "store"),
        DATABASE_URL=f"sqlite:///{folder / 'catalogue.db'}",
        ALLOWED_HOSTS=NAME,
        TRUSTED_PROXIES="127.0.0.1",
        WORKER_TOKEN=TOKEN,
    )
    yield service
    service.kill()


@pytest.fixture(scope="module")
def nginx(rest: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxServer]:
    with nginx_running(tmp_path_factory.mktemp("nginx"), backend=rest.settings.port) as server:
        yield server


def call(nginx: NginxServer, method: str, path: str, **kwargs: Any) -> requests.Response:
    return requests.request(
        method, nginx.url + path, verify=str(nginx.certificate), timeout=60, allow_redirects=False, **kwargs
    )


def test_plain_http_redirects(nginx: NginxServer) -> None:
    answer = requests.get(
        f"http://127.0.0.1:{nginx.plain_port}/songs/?x=1",
        headers={"Host": NAME},
        allow_redirects=False,
        timeout=10,
    )
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://{NAME}/songs/?x=1")


def test_challenge_of_certbot_is_served_by_plain_http(nginx: NginxServer) -> None:
    folder = nginx.folder / "certbot" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text("proof")
    url = f"http://127.0.0.1:{nginx.plain_port}/.well-known/acme-challenge/token"
    answer = requests.get(url, headers={"Host": NAME}, timeout=10)
    assert (answer.status_code, answer.text) == (200, "proof")


def test_certificate_has_the_paths_of_certbot() -> None:
    text = CONFIG.read_text()
    for file in ("fullchain", "privkey"):
        assert f"/etc/letsencrypt/live/{NAME}/{file}.pem;" in text


def test_headers_of_both_are_sent(nginx: NginxServer) -> None:
    answer = call(nginx, "GET", "/songs/", headers={"Host": NAME})
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert call(nginx, "GET", "/songs/", headers={"Host": "evil.example"}).status_code == 421


def test_session_over_https_is_bound_to_the_host(nginx: NginxServer) -> None:
    fields = {"username": "ann", "password1": "correct horse", "password2": "correct horse"}
    answer = call(nginx, "POST", "/auth/register", data=fields)
    assert answer.status_code == 200
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-msaas=")
    assert "Secure" in cookie


def test_upload_of_75_mb_is_streamed(nginx: NginxServer, rest: Service) -> None:
    """`rest` has the first half before the second one is sent, and nginx keeps no file."""
    mp3 = FRAME * (75 * MIB // len(FRAME))
    begin = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n' + mp3[: 40 * MIB]
    end = mp3[40 * MIB :] + b"\r\n--x--\r\n"
    context = ssl.create_default_context(cafile=str(nginx.certificate))
    with (
        socket.create_connection(("127.0.0.1", nginx.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(
            b"POST /songs/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            + f"Content-Length: {len(begin) + len(end)}\r\n\r\n".encode()
            + begin
        )
        wait_until(lambda: uploaded_bytes(rest) > 38 * MIB, timeout_s=20)
        assert nginx.files_of_bodies() == []
        client.sendall(end)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"UPLOADED"' in answer


def uploaded_bytes(rest: Service) -> float:
    """Return the disk space that uploads in progress hold: a song of a form lies there twice."""
    [line] = [
        each for each in rest.get("/metrics").text.splitlines() if each.startswith("msaas_upload_bytes ")
    ]
    return float(line.split()[1]) / 2


def test_body_beyond_the_limit_is_413(nginx: NginxServer) -> None:
    answer = call(nginx, "POST", "/songs/upload", files={"file": ("a.mp3", bytes(81 * MIB))})
    assert answer.status_code == 413


def test_result_of_a_worker_may_be_larger_than_an_upload(nginx: NginxServer) -> None:
    """The answer is that of `rest`: the song is unknown."""
    path = f"/songs/{'0' * 64}/upload_result"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    # The answer comes before the end of the upload, and must not be lost.
    for _ in range(10):
        assert call(nginx, "POST", path, data=bytes(90 * MIB), headers=headers).status_code == 404


def test_events_are_not_buffered(nginx: NginxServer) -> None:
    song = call(nginx, "POST", "/songs/upload", files={"file": ("a.mp3", MP3)}).json()["data"]["song"]
    with call(nginx, "GET", f"/songs/{song['id']}/events", stream=True) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        first = next(line for line in lines if line.startswith(b"data: "))
    assert b'"queued"' in first


def test_ranges_pass(nginx: NginxServer) -> None:
    song = call(nginx, "POST", "/songs/upload", files={"file": ("a.mp3", MP3)}).json()["data"]["song"]
    answer = call(nginx, "GET", f"/songs/{song['id']}/song.mp3", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, MP3[10:20])


# Limits


def _limit_mb(location: str) -> int:
    """Return the limit of a location, or that of the server."""
    part = CONFIG.read_text().partition(location)[2]
    return int(re.findall(r"client_max_body_size (\d+)m;", part)[0])


def test_limits_are_those_of_rest_and_a_little_more() -> None:
    defaults = RestSettings(database_url="sqlite://", worker_token=TOKEN)  # type: ignore[arg-type]
    result_mb = defaults.result_limits.archive_bytes / MIB
    limits = {
        "listen 443": defaults.max_song_upload_mb,
        "location /apiv1/": defaults.max_upload_mb * 4 / 3,
        "upload_result$": result_mb,
    }
    for location, needed_mb in limits.items():
        assert needed_mb < _limit_mb(location) < 1.1 * needed_mb, location


def test_ingress_has_the_same_limit() -> None:
    ingress = yaml.safe_load((ROOT / "deploy/components/ingress/ingress.yaml").read_text())
    notes = ingress["metadata"]["annotations"]
    names = ("nginx.org/client-max-body-size", "nginx.ingress.kubernetes.io/proxy-body-size")
    assert {notes[name] for name in names} == {f"{_limit_mb('location /apiv1/')}m"}
    gateway = (ROOT / "deploy/components/gateway/gateway.yaml").read_text()
    assert f"{_limit_mb('location /apiv1/')} MB or more" in gateway
