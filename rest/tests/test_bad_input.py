"""Bad input has its own name, and leaves nothing behind."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import SONG, Service

from tests.wire import wire

pytestmark = pytest.mark.usefixtures("untouched")


@pytest.fixture
def tight(start: Start) -> Service:
    return start(MAX_UPLOAD_MB="1", MAX_DURATION_S="10")


def problem(answer: requests.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "status", "detail", "instance", "reason"} <= set(body)
    assert "Traceback" not in answer.text
    return dict(body)


def name_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, str(problem(answer)["type"]).rpartition(":")[2]


GOOD = base64.b64encode(b"\xff\xfb\x90\x00" * 1000).decode()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"mp3": ""}, "missing_song"),
        ({"mp3": "\r\n"}, "missing_song"),
        ({}, "missing_song"),
        ({"mp3": None}, "missing_song"),
        ({"mp3": 7}, "invalid_base64"),
        ({"mp3": ["AAAA"]}, "invalid_base64"),
        ({"mp3": "data:audio/mpeg;base64," + GOOD}, "invalid_base64"),
        ({"mp3": GOOD[:40] + " " + GOOD[40:]}, "invalid_base64"),
        ({"mp3": GOOD[:40] + "\t" + GOOD[40:]}, "invalid_base64"),
        ({"mp3": GOOD[:40] + "-_" + GOOD[42:]}, "invalid_base64"),
        ({"mp3": GOOD[:40] + "é" + GOOD[41:]}, "invalid_base64"),
        ({"mp3": GOOD + "="}, "invalid_base64"),
        ({"mp3": GOOD[:-1]}, "invalid_base64"),
        ({"mp3": GOOD[:-4] + "AA=="[:3]}, "invalid_base64"),
        ({"mp3": "AA==" + GOOD}, "invalid_base64"),
        ({"mp3": "AB=="}, "invalid_base64"),
        ({"mp3": "===="}, "invalid_base64"),
        ([GOOD], "malformed_request"),
        (None, "malformed_request"),
        ("null", "malformed_request"),
        ({"mp3": GOOD, "callback": "http://localhost:5000"}, "invalid_callback"),
        ({"mp3": GOOD, "callback": ["http://localhost:5000"]}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {}}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {"url": ""}}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {"url": 7}}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {"url": "http://\ud800/"}}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {"url": "http://r/", "data": "x" * 70_000}}, "invalid_callback"),
    ],
    ids=lambda value: json.dumps(value)[:60] if not isinstance(value, str) else value,
)
def test_a_malformed_request_is_400(service: Service, body: Any, name: str) -> None:
    assert name_of(service.call("POST", "/apiv1/separate", json=body)) == (400, name)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b'{"mp3": NaN}',
        b"[" * 100_000,
        b'{"mp3": "AAAA", "x": [' + b"[]," * 200_000 + b"0]}",
        b'{"mp3": "AAAA", "x": ' + b"9" * 100_000 + b"}",
    ],
    ids=["empty", "cut", "binary", "nan", "deep", "wide", "huge number"],
)
def test_what_is_no_json_is_400(service: Service, body: bytes) -> None:
    answer = service.call("POST", "/apiv1/separate", data=body, headers={"Content-Type": "application/json"})
    assert name_of(answer) == (400, "malformed_request")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "video/mp4", ""])
def test_a_song_of_another_type_is_told_the_three_that_are_taken(
    service: Service, song: bytes, kind: str
) -> None:
    answer = service.call("POST", "/apiv1/separate", data=song, headers={"Content-Type": kind})
    assert name_of(answer) == (400, "malformed_request")
    assert f"{kind or 'of no type'}; a song comes as audio/mpeg" in answer.json()["detail"]


def test_a_form_without_a_song_is_400(service: Service) -> None:
    assert name_of(service.call("POST", "/apiv1/separate", files={"song": b"x"})) == (400, "missing_song")
    broken = service.call(
        "POST", "/apiv1/separate", data=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert name_of(broken) == (400, "missing_song")


def test_an_empty_body_is_no_song(service: Service) -> None:
    assert name_of(service.send(b"")) == (400, "missing_song")


def test_a_callback_in_a_form_is_json(service: Service, song: bytes) -> None:
    for text in ("http://localhost:5000", "{", "[1]", "NaN"):
        answer = service.call("POST", "/apiv1/separate", files={"mp3": song}, data={"callback": text})
        assert name_of(answer) == (400, "invalid_callback")


@pytest.mark.parametrize(
    "no_mp3",
    [
        b"not a song at all " * 1000,
        b"ID3" + bytes(30),
        b"RIFF" + bytes(5000),
        b"OggS" + bytes(5000),
        b"fLaC" + bytes(5000),
        b"\xff\xf1\x50\x80\x02\x1f\xfc" * 1000,
        bytes(100_000),
        b"\xff" * 100_000,
    ],
    ids=["text", "33 bytes of ID3", "wav", "ogg", "flac", "aac", "zeros", "ones"],
)
def test_what_is_no_mp3_is_415(service: Service, no_mp3: bytes) -> None:
    assert name_of(service.send(no_mp3)) == (415, "not_an_mp3")
    text = base64.b64encode(no_mp3).decode()
    assert name_of(service.call("POST", "/apiv1/separate", json={"mp3": text})) == (415, "not_an_mp3")
    assert name_of(service.call("POST", "/apiv1/separate", files={"mp3": no_mp3})) == (415, "not_an_mp3")


def test_an_unknown_model_is_422_and_the_known_ones_are_listed(service: Service, song: bytes) -> None:
    answer = service.send(song, query="?model=facebook/evil")
    assert name_of(answer) == (422, "unknown_model")
    assert "htdemucs_6s" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("path", "status", "name", "listed"),
    [
        ("/apiv1/track/a/cowbell.mp3", 422, "unknown_stem", "vocals"),
        ("/apiv1/track/a-cowbell.mp3", 422, "unknown_stem", "guitar"),
        ("/apiv1/track/a/vocals.ogg", 422, "unknown_format", "mp3"),
        ("/apiv1/remove/a/cowbell", 422, "unknown_stem", "vocals"),
        ("/apiv1/track/a..b/vocals", 400, "invalid_id", ""),
        ("/apiv1/track/.a/vocals", 400, "invalid_id", ""),
        ("/apiv1/track/a%00/vocals", 400, "invalid_id", ""),
        ("/apiv1/track/a%0A/vocals", 400, "invalid_id", ""),
        ("/apiv1/track/" + "a" * 129 + "/vocals", 400, "invalid_id", ""),
        ("/apiv1/job/a..b", 400, "invalid_id", ""),
        ("/apiv1/remove/..%5Cx/vocals", 400, "invalid_id", ""),
        ("/apiv1/track/nothing", 404, "track_not_found", ""),
        ("/apiv1/track/a/vocals", 404, "track_not_found", ""),
        ("/apiv1/job/unheard-of", 404, "job_not_found", ""),
    ],
)
def test_a_track_that_cannot_be_says_why(
    service: Service, path: str, status: int, name: str, listed: str
) -> None:
    answer = service.get(path)
    assert name_of(answer) == (status, name)
    assert listed in problem(answer)["detail"]


def test_a_song_that_lasts_too_long_is_413_whatever_it_claims(tight: Service, song: bytes) -> None:
    assert len(song) < 1024 * 1024
    assert name_of(tight.send(song)) == (413, "song_too_long")


@pytest.mark.parametrize("times", [2, 10])
def test_too_large_a_song_is_413_in_every_form(tight: Service, times: int) -> None:
    large = b"\xff\xfb\x90\x00" * (256 * 1024 * times + 1)
    text = base64.b64encode(large).decode()
    assert name_of(tight.send(large)) == (413, "song_too_large")
    assert name_of(tight.call("POST", "/apiv1/separate", files={"mp3": large})) == (413, "song_too_large")
    assert name_of(tight.call("POST", "/apiv1/separate", json={"mp3": text})) == (413, "song_too_large")


def test_a_client_in_the_middle_of_its_upload_hears_of_the_refusal(tight: Service) -> None:
    """A line with some length: without care the answer would be overtaken by a reset."""
    with wire("127.0.0.1", tight.settings.port) as line:
        line.delay_s = 0.001
        for _ in range(30):
            answer = requests.post(
                f"http://{line.address}/apiv1/separate",
                data=bytes(2 * 1024 * 1024),
                headers={"Content-Type": "audio/mpeg"},
                timeout=20,
            )
            assert answer.status_code == 413


def test_a_song_of_just_the_limit_is_read(tight: Service) -> None:
    assert tight.send(bytes(1024 * 1024)).status_code == 415
    assert tight.send(bytes(1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/json"])
def test_a_body_without_end_is_413_and_memory_stays(start: Start, kind: str) -> None:
    limit_mb = 32
    service = start(MAX_UPLOAD_MB=str(limit_mb))
    peak = PeakMemory(service)

    def endless() -> Iterator[bytes]:
        yield b'{"mp3": "'
        while True:
            peak.look()
            yield b"A" * 64 * 1024

    # What reads the answer in time sees 413, what only sends until the line is cut sees that.
    with suppress(requests.ConnectionError):
        answer = service.call("POST", "/apiv1/separate", data=endless(), headers={"Content-Type": kind})
        assert answer.status_code == 413
    assert 'status="413"' in service.get("/metrics").text
    assert peak.growth_bytes <= 2 * limit_mb * 1024 * 1024
    assert service.get("/healthz").ok


class PeakMemory:
    """What the process that serves holds above what it held at first."""

    def __init__(self, service: Service) -> None:
        (self._process,) = psutil.Process(service.process.pid).children()
        self._before = self._process.memory_info().rss
        self.growth_bytes = 0

    def look(self) -> None:
        self.growth_bytes = max(self.growth_bytes, self._process.memory_info().rss - self._before)


def test_uploads_beyond_the_budget_are_503_and_what_they_held_is_given_back(
    start: Start, song: bytes
) -> None:
    service = start(MAX_IN_FLIGHT_MB="2")
    text = base64.b64encode(song * 2).decode()
    for _ in range(3):
        answer = service.call("POST", "/apiv1/separate", json={"mp3": text})
        assert name_of(answer) == (503, "too_busy")
        assert int(answer.headers["Retry-After"]) > 0
    assert "msaas_upload_bytes 0.0" in service.get("/metrics").text
    assert service.send(b"small, but no song").status_code == 415


HALF = SONG.read_bytes()[: SONG.stat().st_size // 2]


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (f"Content-Length: {2 * len(HALF)}", HALF),
        ("Transfer-Encoding: chunked", b"%x\r\n%b" % (2 * len(HALF), HALF)),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(HALF), HALF)),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\nno number\r\n" % (len(HALF), HALF)),
    ],
    ids=["by length", "in a chunk", "between chunks", "no chunk"],
)
@pytest.mark.parametrize("kind", ["audio/mpeg", "multipart/form-data; boundary=b"])
def test_a_song_that_was_cut_short_is_no_song(service: Service, framing: str, body: bytes, kind: str) -> None:
    """The client dies in the middle: half a song must not pass for a whole one."""
    head = f"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.settings.port)) as client:
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
