"""Metrics of a service without HTTP: on its port, or one line that says why they are not."""

import json
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from msaas.bootstrap import start_metrics
from msaas.logs import configure_logging
from msaas.metrics import REGISTRY
from msaas.settings import MetricsSettings
from tests.servers import free_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_metrics_are_served_on_the_given_address() -> None:
    port = free_port()
    start_metrics(MetricsSettings(metrics_port=port, metrics_host="127.0.0.1"), service="worker")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "msaas_build_info" in text


def test_taken_port_is_one_line_that_names_the_setting(
    taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(service="worker", level="info")
    with pytest.raises(SystemExit) as ended:
        start_metrics(MetricsSettings(metrics_port=taken_port, metrics_host="127.0.0.1"), service="worker")
    printed = capsys.readouterr()
    [line] = printed.out.splitlines()
    found = json.loads(line)
    assert (ended.value.code, printed.err, found["level"]) == (1, "", "error")
    assert found["event"] == "worker_not_started"
    assert found["reason"] == (
        f"METRICS_PORT={taken_port} cannot be used on 127.0.0.1 (Address already in use). "
        "Choose another port."
    )
    assert "exception" not in found


def test_port_0_serves_nothing() -> None:
    start_metrics(MetricsSettings(), service="worker")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("msaas_queue_wait_seconds", "From the enqueue of a job to its first claim"),
        ("msaas_separation_seconds", "From the fetch of the song to the manifest"),
        ("msaas_real_time_factor", "Seconds of audio per second"),
    ],
)
def test_help_text_says_what_is_measured(name: str, text: str) -> None:
    [metric] = [each for each in REGISTRY.collect() if each.name == name]
    assert metric.documentation.startswith(text)
