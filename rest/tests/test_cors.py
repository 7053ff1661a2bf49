"""CORS: pages of the allowed origins may call the API, as the Fetch standard has it, and no others."""

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.test_access import assert_problem, bearer

from msaas_rest.http.cors import parse_origins
from msaas_rest.settings import RestSettings

MP3 = FRAME * 200
KEY = "k" * 32
PAGE = "https://songs.example"
OTHER_PAGE = "https://evil.example"
ALLOW_ORIGIN = "Access-Control-Allow-Origin"


@pytest.fixture
def listed(shared: Start) -> Service:
    return shared(CORS_ORIGINS=f"{PAGE}, http://localhost:8080", API_KEYS=KEY, RATE_LIMIT="1000/minute")


def from_page(origin: str, **headers: str) -> dict[str, str]:
    """Return the headers of a browser in a call of a page."""
    return {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", **headers}


def preflight(service: Service, origin: str, path: str = "/apiv1/separate") -> requests.Response:
    headers = from_page(origin) | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,range",
    }
    return service.call("OPTIONS", path, headers=headers)


def names(answer: requests.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get(header, "").split(",")} - {""}


def test_preflight_passes_without_a_key(listed: Service) -> None:
    answer = preflight(listed, PAGE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers[ALLOW_ORIGIN] == PAGE
    assert {"post", "delete", "get", "head"} <= names(answer, "Access-Control-Allow-Methods")
    accepted = names(answer, "Access-Control-Allow-Headers")
    assert {"authorization", "content-type", "idempotency-key", "range"} <= accepted
    assert "origin" in names(answer, "Vary")
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_preflight_is_not_counted(listed: Service) -> None:
    for _ in range(3):
        preflight(listed, PAGE)
    assert listed.redis.keys("toWorkers:rates*") == []
    listed.get("/apiv1/models", headers=from_page(PAGE) | bearer(KEY))
    (counted,) = listed.redis.keys("toWorkers:rates*")
    assert listed.redis.llen(counted) == 1


def test_page_of_an_allowed_origin_sends_and_follows_a_song(listed: Service) -> None:
    headers = from_page(PAGE) | bearer(KEY)
    sent = listed.send(MP3, headers=headers)
    assert (sent.status_code, sent.headers[ALLOW_ORIGIN]) == (200, PAGE)
    shown = names(sent, "Access-Control-Expose-Headers")
    assert {"etag", "content-range", "accept-ranges", "content-disposition", "retry-after"} <= shown
    assert "x-request-id" in shown
    job = listed.get(f"/apiv1/job/{sent.json()['hash']}", headers=headers)
    assert (job.status_code, job.headers[ALLOW_ORIGIN]) == (200, PAGE)


def test_page_reads_errors_as_well(listed: Service) -> None:
    for path, status in (("/apiv1/job/absent", 404), ("/apiv1/nothing", 404)):
        answer = listed.get(path, headers=from_page(PAGE) | bearer(KEY))
        assert (answer.status_code, answer.headers[ALLOW_ORIGIN]) == (status, PAGE)
    answer = listed.get("/apiv1/queue", headers=from_page(PAGE))
    assert (answer.status_code, answer.headers[ALLOW_ORIGIN]) == (401, PAGE)


@pytest.mark.parametrize(
    "origin", [OTHER_PAGE, "null", "http://songs.example", f"{PAGE}:8443", f"{PAGE}.evil.example", "https://"]
)
def test_page_of_another_origin_is_refused(listed: Service, origin: str) -> None:
    answer = preflight(listed, origin)
    assert ALLOW_ORIGIN not in answer.headers
    answer = listed.send(MP3, headers=from_page(origin) | bearer(KEY))
    assert_problem(answer, 403, "cross_site_request")
    assert ALLOW_ORIGIN not in answer.headers
    answer = listed.get("/apiv1/models", headers=from_page(origin) | bearer(KEY))
    assert ALLOW_ORIGIN not in answer.headers
    assert "origin" in names(answer, "Vary")


def test_request_without_an_origin_is_no_call_of_an_allowed_page(listed: Service) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Referer": f"{PAGE}/player"} | bearer(KEY)
    assert_problem(listed.send(MP3, headers=headers), 403, "cross_site_request")
    answer = listed.get(f"/apiv1/remove/{'a' * 64}/bass", headers=headers)
    assert_problem(answer, 403, "cross_site_request")


def test_page_of_an_allowed_origin_removes_a_stem(listed: Service) -> None:
    headers = from_page(PAGE) | bearer(KEY)
    listed.send(MP3, headers=headers)
    job_id = listed.work().job_id
    for method, stem in (("GET", "bass"), ("DELETE", "drums")):
        path = f"/apiv1/remove/{job_id}/{stem}"
        assert listed.call(method, path, headers=headers).status_code == 200
        refused = listed.call(method, path, headers=from_page(OTHER_PAGE) | bearer(KEY))
        assert refused.status_code == 403


def test_any_origin_is_allowed_by_a_star(shared: Start) -> None:
    service = shared(CORS_ORIGINS="*", DEBUG_ENDPOINTS="1")
    for origin in (PAGE, OTHER_PAGE, "null"):
        assert preflight(service, origin).headers[ALLOW_ORIGIN] == "*"
        answer = service.send(MP3, headers=from_page(origin))
        assert (answer.status_code, answer.headers[ALLOW_ORIGIN]) == (200, "*")
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_without_the_setting_no_page_of_another_site_is_allowed(service: Service) -> None:
    answer = preflight(service, PAGE)
    assert [name for name in answer.headers if name.startswith("Access-Control")] == []
    assert_problem(service.send(MP3, headers=from_page(PAGE)), 403, "cross_site_request")


def test_pages_and_probes_have_no_cors_headers(listed: Service) -> None:
    for path in ("/", "/healthz", "/metrics"):
        assert ALLOW_ORIGIN not in listed.get(path, headers=from_page(PAGE)).headers


def test_host_is_checked_before_a_preflight(listed: Service) -> None:
    answer = listed.call(
        "OPTIONS",
        "/apiv1/separate",
        headers=from_page(PAGE) | {"Host": "evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert_problem(answer, 421, "unknown_host")


def test_origins_are_read_in_the_form_of_browsers() -> None:
    read = RestSettings(cors_origins="HTTPS://Songs.Example, http://[::1]:8080").cors_origins  # type: ignore[arg-type]
    assert read == (PAGE, "http://[::1]:8080")


@pytest.mark.parametrize("text", ["songs.example", f"{PAGE}/", "null", "https://*.example", "ftp://a", ""])
def test_malformed_origins_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="origins"):
        parse_origins((text,))
