"""Host and origin checks: the page of another site can change nothing here, programs and our own page can."""

from collections.abc import Callable

import pytest
from flask import Flask, Request, request
from flask.ctx import RequestContext
from rest.tests.in_memory import client_on
from rest.tests.service import Service
from werkzeug.exceptions import MethodNotAllowed

from msaas.errors import CrossSiteRequest, UnknownHost
from msaas_rest.http.origin_checks import check_changing_get, check_host, check_site

JOB = "a" * 64
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def request_context(method: str, headers: dict[str, str]) -> RequestContext:
    return Flask("x").test_request_context(
        "/", base_url="http://10.0.0.1:5000", method=method, headers=headers
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:5000",
        "localhost.",
        "127.0.0.1:5000",
        "[::1]:5000",
        "[fe80::1]",
        "192.168.1.7:5000",
        "10.96.0.12",
        "rest-server",
        "rest-server:5000",
        "rest-server.default.svc.cluster.local:5000",
        "songs.example",
        "Songs.Example:443",
        "",
    ],
)
def test_addresses_and_known_names_are_served(host: str) -> None:
    check_host(host, allowed=("songs.example",))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "rest-server.evil.example",
        "rest-server.default.svc.cluster.local.evil.example",
        "evil.songs.example",
        "songs.example@evil.example",
        "127.0.0.1@evil.example",
        "[::1",
        "2130706433.evil.example",
        ":5000",
        "\udcff",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    with pytest.raises(UnknownHost):
        check_host(host, allowed=("songs.example",))


@pytest.mark.parametrize(
    ("check", "method", "headers"),
    [
        (check_site, "POST", {}),
        (check_site, "POST", {"Sec-Fetch-Site": "same-origin"}),
        (check_site, "POST", {"Origin": "http://10.0.0.1:5000"}),
        (check_site, "GET", {"Sec-Fetch-Site": "cross-site"}),
        (check_changing_get, "GET", {}),
        (check_changing_get, "GET", {"Sec-Fetch-Site": "none"}),
        (check_changing_get, "GET", {"Referer": "http://10.0.0.1:5000/page?x=1"}),
        (check_changing_get, "GET", {"User-Agent": "curl/8.14.1"}),
        (check_changing_get, "GET", {"User-Agent": BROWSER, "Sec-Fetch-Site": "none"}),
        (check_changing_get, "GET", {"User-Agent": BROWSER, "Sec-Fetch-Site": "same-origin"}),
        (check_changing_get, "GET", {"User-Agent": BROWSER, "Referer": "http://10.0.0.1:5000/"}),
        (check_changing_get, "GET", {"User-Agent": BROWSER, "Origin": "http://10.0.0.1:5000"}),
        (check_changing_get, "DELETE", {"User-Agent": BROWSER}),
        (check_site, "GET", {"User-Agent": BROWSER}),
    ],
)
def test_programs_and_our_own_page_pass(
    check: Callable[[Request], None], method: str, headers: dict[str, str]
) -> None:
    with request_context(method, headers):
        check(request)


@pytest.mark.parametrize(
    ("check", "method", "headers"),
    [
        (check_site, "POST", {"Sec-Fetch-Site": "cross-site"}),
        (check_site, "DELETE", {"Sec-Fetch-Site": "same-site"}),
        (check_site, "POST", {"Origin": "http://10.0.0.1:3000"}),
        (check_site, "POST", {"Origin": "null"}),
        (check_site, "POST", {"Origin": "http://[broken"}),
        (check_changing_get, "GET", {"Sec-Fetch-Site": "cross-site"}),
        (check_changing_get, "GET", {"Referer": "http://evil.example/?http://10.0.0.1:5000"}),
        (check_changing_get, "GET", {"Origin": "http://10.0.0.1:5000.evil.example"}),
        (check_changing_get, "GET", {"User-Agent": BROWSER}),
        (check_changing_get, "GET", {"User-Agent": BROWSER.lower(), "Referer": ""}),
        (check_changing_get, "GET", {"User-Agent": BROWSER, "Origin": ""}),
    ],
)
def test_pages_of_other_sites_are_refused(
    check: Callable[[Request], None], method: str, headers: dict[str, str]
) -> None:
    with request_context(method, headers), pytest.raises(CrossSiteRequest):
        check(request)


def test_head_of_a_changing_get_is_not_allowed() -> None:
    with request_context("HEAD", {}), pytest.raises(MethodNotAllowed):
        check_changing_get(request)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/apiv1/remove/{JOB}/bass"),
        ("GET", f"/apiv1/remove/{JOB}-bass.mp3"),
        ("DELETE", f"/apiv1/remove/{JOB}/bass"),
        ("GET", "/apiv1/delete_contents"),
        ("DELETE", "/apiv1/delete_contents"),
    ],
)
def test_page_of_another_site_deletes_nothing(service: Service, method: str, path: str) -> None:
    service.store_stems(JOB)
    answer = service.call(method, path, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:msaas:error:cross_site_request")
    assert service.get(f"/apiv1/track/{JOB}/bass").status_code == 200


@pytest.mark.usefixtures("untouched")
def test_page_of_another_site_sends_no_song(service: Service, song: bytes) -> None:
    assert service.send(song, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert service.send(song, headers={"Origin": "http://evil.example"}).status_code == 403


def test_rebound_name_reads_and_deletes_nothing(service: Service) -> None:
    service.store_stems(JOB)
    for path in ("/apiv1/queue", f"/apiv1/track/{JOB}/bass", f"/apiv1/remove/{JOB}/bass", "/apiv1/bucket"):
        answer = service.get(path, headers={"Host": "evil.example:5000"})
        assert (answer.status_code, answer.json()["type"]) == (421, "urn:msaas:error:unknown_host")
    assert service.get(f"/apiv1/track/{JOB}/bass").status_code == 200


def test_probes_may_send_any_host(service: Service) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert service.get(path, headers={"Host": "probe.example"}).status_code == 200


def test_setting_adds_names() -> None:
    client = client_on(allowed_hosts="songs.example, other.example")
    for host, status in (("songs.example", 200), ("other.example:5000", 200), ("third.example", 421)):
        assert client.get("/apiv1/queue", headers={"Host": host}).status_code == status
