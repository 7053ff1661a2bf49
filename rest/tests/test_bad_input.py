"""Refused requests: each has its own status and code, and leaves nothing in the store or the queue."""

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import SONG, Service

from tests.tcp_proxy import tcp_proxy

pytestmark = pytest.mark.usefixtures("untouched")


@pytest.fixture
def small_limits(shared: Start) -> Service:
    return shared(MAX_UPLOAD_MB="1", MAX_DURATION_S="10")


def problem(answer: requests.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "status", "detail", "instance", "reason"} <= set(body)
    assert "Traceback" not in answer.text
    return dict(body)


def status_and_code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, str(problem(answer)["type"]).rpartition(":")[2]


GOOD = base64.b64encode(b"\xff\xfb\x90\x00" * 1000).decode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"mp3": ""}, "missing_song"),
        ({"mp3": "\r\n"}, "missing_song"),
        ({}, "missing_song"),
        ({"mp3": None}, "missing_song"),
        ({"mp3": 7}, "invalid_base64"),
        ({"file": 7}, "invalid_base64"),
        ({"mp3": ["AAAA"]}, "invalid_base64"),
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
        ({"mp3": GOOD, "callback": {"url": 7}}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {"url": "http://\ud800/"}}, "invalid_callback"),
        ({"mp3": GOOD, "callback": {"url": "http://r/", "data": "x" * 70_000}}, "invalid_callback"),
    ],
    ids=lambda value: json.dumps(value)[:60] if not isinstance(value, str) else value,
)
def test_malformed_json_field_is_400(service: Service, body: Any, code: str) -> None:
    assert status_and_code(service.send_as_json(body)) == (400, code)


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
def test_invalid_json_is_400(service: Service, body: bytes) -> None:
    answer = service.call("POST", "/apiv1/separate", data=body, headers={"Content-Type": "application/json"})
    assert status_and_code(answer) == (400, "malformed_request")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "image/png", ""])
def test_unknown_media_type_names_the_accepted_ones(service: Service, song: bytes, kind: str) -> None:
    answer = service.call("POST", "/apiv1/separate", data=song, headers={"Content-Type": kind})
    assert status_and_code(answer) == (400, "malformed_request")
    expected = "Send a song as audio/…, multipart/form-data or application/json."
    assert problem(answer)["detail"] == f"The body is {kind or 'of no type'}. {expected}"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZip", "identity, gzip"])
def test_compressed_body_is_415_and_names_the_encoding(service: Service, song: bytes, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    for answer in (
        service.send(gzip.compress(song), headers=headers),
        service.send_as_json({"mp3": GOOD}, headers=headers),
        service.send_as_form({"mp3": song}, headers=headers),
    ):
        assert status_and_code(answer) == (415, "unsupported_encoding")
        assert encoding.lower() in problem(answer)["detail"]


def test_data_url_is_400_and_named(service: Service) -> None:
    for prefix in ("data:audio/mpeg;base64,", "DATA:;base64,"):
        answer = service.send_as_json({"mp3": prefix + GOOD})
        assert status_and_code(answer) == (400, "invalid_base64")
        assert "data: URL" in problem(answer)["detail"]


# Forms


def test_form_without_song_is_400(service: Service) -> None:
    assert status_and_code(service.send_as_form({"song": b"x"})) == (400, "missing_song")


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("multipart/form-data; boundary=b", b"x", "ends before its closing boundary"),
        ("multipart/form-data; boundary=b", b"", "ends before its closing boundary"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="mp3"; filename="a"\r\n\r\nsong',
            "ends before its closing boundary",
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", "malformed"),
        ("multipart/form-data", b"--b\r\n\r\nx\r\n--b--\r\n", "has no boundary"),
    ],
    ids=["no part", "empty", "cut", "nameless part", "no boundary"],
)
def test_cut_or_malformed_form_is_400_and_named(
    service: Service, kind: str, body: bytes, reason: str
) -> None:
    answer = service.call("POST", "/apiv1/separate", data=body, headers={"Content-Type": kind})
    assert status_and_code(answer) == (400, "malformed_request")
    assert reason in problem(answer)["detail"]


def test_too_large_text_field_is_413(service: Service, song: bytes) -> None:
    answer = service.send_as_form({"mp3": song}, data={"callback": "x" * 600_000})
    assert status_and_code(answer) == (413, "song_too_large")
    assert "Their limit is 500000 bytes" in problem(answer)["detail"]


def test_empty_body_is_400(service: Service) -> None:
    assert status_and_code(service.send(b"")) == (400, "missing_song")


def test_callback_text_that_is_not_a_json_object_is_400(service: Service, song: bytes) -> None:
    for text in ("http://localhost:5000", "{", "[1]", "NaN"):
        in_form = service.send_as_form({"mp3": song}, data={"callback": text})
        in_query = service.call(
            "POST",
            "/apiv1/separate",
            params={"callback": text},
            data=song,
            headers={"Content-Type": "audio/mpeg"},
        )
        assert status_and_code(in_form) == status_and_code(in_query) == (400, "invalid_callback")


# Options


@pytest.mark.parametrize("name", ["modle", "stem", "MP3", "segment"])
def test_unknown_option_is_422_and_lists_the_known_ones(service: Service, song: bytes, name: str) -> None:
    value = "mdx"
    for answer in (
        service.send_as_json({"mp3": base64.b64encode(song).decode(), name: value}),
        service.send_as_json({"mp3": base64.b64encode(song).decode(), name: [value]}),
        service.send_as_json({"mp3": base64.b64encode(song).decode()}, params={name: value}),
        service.send_as_form({"mp3": song}, data={name: value}),
        service.send_as_form({"mp3": song, name: b"a file"}),
        service.send_as_form({"mp3": song}, params={name: value}),
        service.send(song, query=f"?{name}={value}"),
    ):
        assert status_and_code(answer) == (422, "unknown_option")
        assert f"Option '{name}' is unknown. Known options: model, stems, " in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("query", "code", "listed"),
    [("?model=facebook/evil", "unknown_model", "htdemucs_6s"), ("?format=aac", "unknown_format", "mp3")],
)
def test_unknown_value_is_422_and_lists_the_known_ones(
    service: Service, song: bytes, query: str, code: str, listed: str
) -> None:
    answer = service.send(song, query=query)
    assert status_and_code(answer) == (422, code)
    assert listed in problem(answer)["detail"]


def test_option_that_is_a_file_is_422(service: Service, song: bytes) -> None:
    assert status_and_code(service.send_as_form({"mp3": song, "model": b"mdx"})) == (422, "invalid_option")


def test_option_that_is_sent_twice_is_400(service: Service, song: bytes) -> None:
    text = base64.b64encode(song).decode()
    for answer in (
        service.send(song, query="?model=mdx&model=mdx_extra"),
        service.send_as_form({"mp3": song}, data={"model": ["mdx", "mdx_extra"]}),
        service.send_as_form({"mp3": song}, data={"model": "mdx"}, params={"model": "mdx_extra"}),
        service.send_as_json({"mp3": text, "model": "mdx"}, params={"model": "mdx_extra"}),
    ):
        assert status_and_code(answer) == (400, "malformed_request")
        assert "Field 'model' stands" in problem(answer)["detail"]


def test_form_of_two_songs_is_400(service: Service, song: bytes) -> None:
    for files in ([("mp3", song), ("file", song)], [("file", song), ("file", song)]):
        answer = requests.post(f"{service.url}/apiv1/separate", files=files, timeout=10)
        assert status_and_code(answer) == (400, "malformed_request")
        assert "The form has 2 songs." in problem(answer)["detail"]


# Songs


@pytest.mark.parametrize(
    "body",
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
def test_body_that_is_not_audio_is_415(service: Service, body: bytes) -> None:
    assert status_and_code(service.send(body)) == (415, "not_audio")
    text = base64.b64encode(body).decode()
    assert status_and_code(service.send_as_json({"mp3": text})) == (415, "not_audio")
    assert status_and_code(service.send_as_form({"mp3": body})) == (415, "not_audio")


def test_song_that_lasts_too_long_is_413(small_limits: Service, song: bytes) -> None:
    assert len(song) < 1024 * 1024
    assert status_and_code(small_limits.send(song)) == (413, "song_too_long")


@pytest.mark.parametrize("times", [2, 10])
def test_too_large_song_is_413_in_every_form(small_limits: Service, times: int) -> None:
    large = b"\xff\xfb\x90\x00" * (256 * 1024 * times + 1)
    text = base64.b64encode(large).decode()
    assert status_and_code(small_limits.send(large)) == (413, "song_too_large")
    assert status_and_code(small_limits.send_as_form({"mp3": large})) == (413, "song_too_large")
    assert status_and_code(small_limits.send_as_json({"mp3": text})) == (413, "song_too_large")


def test_client_that_still_uploads_reads_the_refusal(small_limits: Service) -> None:
    """On a slow line, a reset would overtake the answer if the service did not read on."""
    with tcp_proxy("127.0.0.1", small_limits.settings.port) as line:
        line.delay_s = 0.001
        for _ in range(30):
            answer = requests.post(
                f"http://{line.address}/apiv1/separate",
                data=bytes(2 * 1024 * 1024),
                headers={"Content-Type": "audio/mpeg"},
                timeout=20,
            )
            assert answer.status_code == 413


def test_song_of_exactly_the_limit_is_read(small_limits: Service) -> None:
    assert small_limits.send(bytes(1024 * 1024)).status_code == 415
    assert small_limits.send(bytes(1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/json"])
def test_endless_body_is_413_and_memory_stays_bounded(shared: Start, kind: str) -> None:
    limit_mb = 8
    service = shared(MAX_UPLOAD_MB=str(limit_mb))
    before_bytes = peak_bytes = service.serving.memory_info().rss

    def endless() -> Iterator[bytes]:
        nonlocal peak_bytes
        yield b'{"mp3": "'
        while True:
            peak_bytes = max(peak_bytes, service.serving.memory_info().rss)
            yield b"A" * 64 * 1024

    # A client that only sends sees a cut connection, one that reads in time sees the 413.
    with suppress(requests.ConnectionError):
        answer = service.call("POST", "/apiv1/separate", data=endless(), headers={"Content-Type": kind})
        assert answer.status_code == 413
    assert 'status="413"' in service.get("/metrics").text
    assert peak_bytes - before_bytes <= 2 * limit_mb * 1024 * 1024
    assert service.get("/healthz").ok


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
def test_song_that_is_cut_is_400(service: Service, framing: str, body: bytes, kind: str) -> None:
    """A client that dies during its upload sends half a song, which must not count as a whole one."""
    head = f"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.settings.port)) as client:
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


# Paths


@pytest.mark.parametrize(
    ("path", "status", "code", "listed"),
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
        ("/apiv1/job/unknown", 404, "job_not_found", ""),
    ],
)
def test_invalid_path_has_its_own_code(
    service: Service, path: str, status: int, code: str, listed: str
) -> None:
    answer = service.get(path)
    assert status_and_code(answer) == (status, code)
    assert listed in problem(answer)["detail"]
