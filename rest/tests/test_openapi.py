"""The OpenAPI document describes every route, and the page shows it."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator
from rest.tests.described import api, path_of, resolve, url_map, validate
from rest.tests.in_memory import client_on
from rest.tests.service import Service

from msaas.formats import FORMATS
from msaas.jobs import JobState
from msaas.models import MODELS, STEMS
from msaas_rest.openapi import routes
from msaas_rest.openapi.document import describe_api

METHODS = ("get", "put", "post", "delete", "patch", "head")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in api()["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def test_document_has_the_routes_and_methods_of_the_app() -> None:
    described = {(path, method.upper()) for path, method, _ in operations()}
    routed = set()
    for rule in url_map().iter_rules():
        methods = (rule.methods or set()) - {"OPTIONS"}
        # Flask adds HEAD to each GET.
        methods -= {"HEAD"} if "GET" in methods else set()
        routed |= {(path_of(rule.rule), method) for method in methods}
    assert described == routed


def test_document_is_openapi_3_1_1() -> None:
    assert api()["openapi"] == "3.1.1"
    OpenAPIV31SpecValidator(api()).validate()  # type: ignore[arg-type]


def test_operations_have_different_names() -> None:
    names = [operation["operationId"] for *_, operation in operations()]
    assert len(names) == len(set(names))


def examples() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield each example with its place and its schema."""
    for path, method, operation in operations():
        place = f"{method} {path}"
        for parameter in operation.get("parameters", []):
            if "example" in parameter:
                yield f"{place} {parameter['name']}", parameter["example"], parameter["schema"]
        bodies = [operation.get("requestBody", {}), *map(resolve, operation["responses"].values())]
        for media in (media for body in bodies for media in body.get("content", {}).values()):
            if "example" in media:
                yield place, media["example"], media["schema"]
            for name, example in media.get("examples", {}).items():
                yield f"{place} {name}", example["value"], media["schema"]


def test_every_example_has_its_schema() -> None:
    found = list(examples())
    assert len(found) > 200
    for place, example, schema in found:
        try:
            validate(example, schema, closed=True)
        except ValidationError as error:
            pytest.fail(f"{place}: {error.message}")


def test_every_json_reply_and_every_error_has_an_example() -> None:
    for path, method, operation in operations():
        for status, response in operation["responses"].items():
            for media_type, media in resolve(response).get("content", {}).items():
                if media_type.endswith("json") and path != "/openapi.json":
                    assert "example" in media or "examples" in media, (method, path, status)


def test_enumerations_are_those_of_the_tables() -> None:
    parameters = {
        each["name"]: each["schema"] for each in api()["paths"]["/apiv1/separate"]["post"]["parameters"]
    }
    assert set(MODELS) <= set(parameters["model"]["enum"])
    assert set(STEMS) <= set(parameters["two_stems"]["enum"])
    assert parameters["format"]["enum"] == list(FORMATS)
    assert api()["components"]["schemas"]["JobState"]["enum"] == [state.value for state in JobState]


def test_every_enumerated_option_is_accepted_by_the_api(song: bytes) -> None:
    client = client_on()
    for parameter in api()["paths"]["/apiv1/separate"]["post"]["parameters"]:
        for value in parameter["schema"].get("enum", []):
            reply = client.post(
                "/apiv1/separate",
                data=song,
                content_type="audio/mpeg",
                query_string={parameter["name"]: value},
            )
            # Some go with another format only.
            assert reply.status_code == 200 or reply.json["type"].endswith(  # type: ignore[index]
                ("invalid_option", "format_unavailable", "unknown_stem")
            ), (parameter["name"], value)


def test_debug_routes_are_described_where_they_exist() -> None:
    debug = {"/apiv1/bucket", "/apiv1/delete_contents"}
    assert debug.isdisjoint(describe_api(debug_endpoints=False)["paths"])
    assert debug <= api()["paths"].keys()


def test_document_and_page_need_no_key() -> None:
    client = client_on(api_keys="a-key-of-sixteen-characters")
    assert client.get("/apiv1/models").status_code == 401
    assert client.get("/openapi.json").get_json()["openapi"] == "3.1.1"
    for path in ("/docs", "/docs/page.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"):
        assert client.get(path).status_code == 200, path


def test_other_files_of_the_page_are_404() -> None:
    client = client_on()
    for name in ("swagger-ui.js", "page.html", "document.py", "..%2f__init__.py"):
        assert client.get(f"/docs/{name}").status_code == 404, name


def test_page_without_its_files_names_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_CARRIER", "an_absent_package")
    client = client_on()
    assert "pip install flask-swagger-ui" in client.get("/docs").text
    assert client.get("/docs/swagger-ui-bundle.js").status_code == 404
    assert client.get("/openapi.json").status_code == 200


def test_page_has_no_inline_script_or_style() -> None:
    answer = client_on().get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "<style" not in answer.text
    assert "style=" not in answer.text
    assert answer.text.count("<script") == answer.text.count('<script src="/docs/')


# A real browser


def browse(url: str, *, profile: Path) -> tuple[str, list[str]]:
    """Return the page as the browser shows it, and the violations of its policy."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        assert "CI" not in os.environ, "CI needs chromium"
        pytest.skip("chromium is not installed")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--enable-logging=stderr", "--virtual-time-budget=20000", f"--user-data-dir={profile}"),
            *("--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "Content Security Policy" in line]


@pytest.mark.long
def test_browser_shows_every_operation_without_a_violation(service: Service, tmp_path: Path) -> None:
    page, violations = browse(f"{service.url}/docs", profile=tmp_path)
    assert violations == []
    for path, method, operation in operations():
        assert f'-{operation["operationId"]}"' in page, (method, path)


class _InlineScript(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(b"<script>1</script>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.long
def test_browser_reports_a_violation(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _InlineScript) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _, violations = browse(f"http://127.0.0.1:{server.server_port}/", profile=tmp_path)
        server.shutdown()
    assert violations
