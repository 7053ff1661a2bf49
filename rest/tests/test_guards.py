"""A web page of somebody else's gets nothing done here, a program and our own page do."""

import pytest
from flask import Flask, request
from flask.ctx import RequestContext
from rest.tests.conftest import Start
from rest.tests.service import Service

from msaas.errors import CrossSiteRequest, UnknownHost
from msaas_rest.guards import check_host, check_site

JOB = "a" * 64


def asked(method: str, headers: dict[str, str]) -> RequestContext:
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
def test_the_names_we_go_by_are_served(host: str) -> None:
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
def test_a_name_that_somebody_pointed_at_us_is_refused(host: str) -> None:
    with pytest.raises(UnknownHost):
        check_host(host, allowed=("songs.example",))


@pytest.mark.parametrize(
    ("method", "changes", "headers"),
    [
        ("POST", False, {}),
        ("POST", False, {"Sec-Fetch-Site": "same-origin"}),
        ("GET", True, {"Sec-Fetch-Site": "none"}),
        ("POST", False, {"Origin": "http://10.0.0.1:5000"}),
        ("GET", True, {"Referer": "http://10.0.0.1:5000/page?x=1"}),
        ("GET", False, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_programs_and_our_own_page_may(method: str, changes: bool, headers: dict[str, str]) -> None:
    with asked(method, headers):
        check_site(request, changes=changes)


@pytest.mark.parametrize(
    ("method", "changes", "headers"),
    [
        ("POST", False, {"Sec-Fetch-Site": "cross-site"}),
        ("DELETE", False, {"Sec-Fetch-Site": "same-site"}),
        ("GET", True, {"Sec-Fetch-Site": "cross-site"}),
        ("HEAD", True, {"Sec-Fetch-Site": "cross-site"}),
        ("POST", False, {"Origin": "http://10.0.0.1:3000"}),
        ("POST", False, {"Origin": "null"}),
        ("POST", False, {"Origin": "http://[broken"}),
        ("GET", True, {"Referer": "http://evil.example/?http://10.0.0.1:5000"}),
        ("GET", True, {"Origin": "http://10.0.0.1:5000.evil.example"}),
    ],
)
def test_other_pages_may_not(method: str, changes: bool, headers: dict[str, str]) -> None:
    with asked(method, headers), pytest.raises(CrossSiteRequest):
        check_site(request, changes=changes)


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
def test_another_sites_page_deletes_nothing(service: Service, method: str, path: str) -> None:
    service.store_stems(JOB)
    answer = service.call(method, path, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:msaas:error:cross_site_request")
    assert service.get(f"/apiv1/track/{JOB}/bass").status_code == 200


@pytest.mark.usefixtures("untouched")
def test_another_sites_page_sends_no_song(service: Service, song: bytes) -> None:
    assert service.send(song, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert service.send(song, headers={"Origin": "http://evil.example"}).status_code == 403


def test_a_rebound_name_reads_and_deletes_nothing(service: Service) -> None:
    service.store_stems(JOB)
    for path in ("/apiv1/queue", f"/apiv1/track/{JOB}/bass", f"/apiv1/remove/{JOB}/bass", "/apiv1/bucket"):
        answer = service.get(path, headers={"Host": "evil.example:5000"})
        assert (answer.status_code, answer.json()["type"]) == (421, "urn:msaas:error:unknown_host")
    assert service.get(f"/apiv1/track/{JOB}/bass").status_code == 200


def test_a_probe_may_call_us_anything(service: Service) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert service.get(path, headers={"Host": "probe.example"}).status_code == 200


def test_further_names_are_a_setting(start: Start) -> None:
    service = start(ALLOWED_HOSTS="songs.example, other.example")
    for host in ("songs.example", "other.example:5000"):
        assert service.get("/apiv1/queue", headers={"Host": host}).status_code == 200
