"""Downloads from a server with the API of the hub: complete, cut, damaged, silent, refused, cached."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from worker.tests.hub import REFUSING_ENDPOINT, HubServer, running_hub
from worker.tests.models import as_safetensors, tiny

from msaas.errors import ModelUnavailable
from msaas_worker.separators.demucs.loader import DemucsFamily
from msaas_worker.separators.families import LoadOptions, ModelMissing
from msaas_worker.separators.hub import Hub

WEIGHTS = "adefossez/HTDemucs/955717e8.safetensors"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    files = {
        "adefossez/HTDemucs/htdemucs.yaml": b"models: ['955717e8']\n",
        WEIGHTS: as_safetensors(tiny()),
    }
    with running_hub(HubServer(files)) as hub:
        yield hub


def family(endpoint: str, cache: Path, *, silence_s: float = 10.0) -> DemucsFamily:
    hub = Hub(cache=cache, endpoint=endpoint, silence_s=silence_s)
    return DemucsFamily(LoadOptions(precision="exact", hub=hub))


def fetch_and_load(hub: HubServer, cache: Path, *, silence_s: float = 10.0) -> str:
    demucs = family(hub.endpoint, cache, silence_s=silence_s)
    demucs.fetch("htdemucs")
    return demucs.load("htdemucs").weights_sha256


def test_model_is_downloaded_once(hub: HubServer, tmp_path: Path) -> None:
    first = fetch_and_load(hub, tmp_path)
    requests = list(hub.requests)
    assert fetch_and_load(hub, tmp_path) == first
    assert hub.requests == requests


def test_load_does_not_ask_the_hub(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="MODEL_REPO is not set"):
        family(hub.endpoint, tmp_path).load("htdemucs")
    assert hub.requests == []


def test_cached_model_is_loaded_while_the_hub_is_down(hub: HubServer, tmp_path: Path) -> None:
    first = fetch_and_load(hub, tmp_path)
    assert fetch_and_load(HubServer(endpoint=REFUSING_ENDPOINT), tmp_path) == first


def test_cut_download_is_retried(hub: HubServer, tmp_path: Path) -> None:
    hub.cuts = 1
    assert fetch_and_load(hub, tmp_path)
    assert sum(line.startswith("GET") and line.endswith(".safetensors") for line in hub.requests) == 2


@pytest.mark.slow
def test_download_that_is_always_cut_leaves_no_model(hub: HubServer, tmp_path: Path) -> None:
    hub.cuts = 100
    with pytest.raises(ModelUnavailable, match="MODEL_REPO"):
        fetch_and_load(hub, tmp_path, silence_s=2)
    hub.cuts = 0
    assert fetch_and_load(hub, tmp_path)


def test_download_with_another_checksum_than_announced_is_rejected(hub: HubServer, tmp_path: Path) -> None:
    hub.etags[WEIGHTS] = "0" * 64
    with pytest.raises(ModelUnavailable, match="damaged"):
        fetch_and_load(hub, tmp_path)


def test_cached_weights_that_were_damaged_are_rejected(hub: HubServer, tmp_path: Path) -> None:
    fetch_and_load(hub, tmp_path)
    (weights,) = tmp_path.rglob("955717e8.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    with pytest.raises(ModelUnavailable, match="damaged"):
        fetch_and_load(hub, tmp_path)


@pytest.mark.parametrize("cache", ["/proc/msaas", "/sys/msaas", "/dev/null/msaas"])
def test_model_is_downloaded_without_a_writable_cache(cache: str, hub: HubServer, tmp_path: Path) -> None:
    assert fetch_and_load(hub, Path(cache))


def test_download_beside_a_read_only_cache_is_deleted_after_loading(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    demucs = family(hub.endpoint, Path("/dev/null/msaas"))
    demucs.fetch("htdemucs")
    assert list(tmp_path.rglob("955717e8.safetensors"))
    demucs.load("htdemucs")
    assert list(tmp_path.iterdir()) == []


def test_loading_a_model_leaves_the_temporary_download_of_another(hub: HubServer) -> None:
    """One thread loads a model while another downloads the next."""
    hub.files |= {
        "adefossez/Demucs-hdemucs_mmi/hdemucs_mmi.yaml": b"models: ['75fc33f5']\n",
        "adefossez/Demucs-hdemucs_mmi/75fc33f5.safetensors": as_safetensors(tiny(seed=1)),
    }
    demucs = family(hub.endpoint, Path("/dev/null/msaas"))
    for model in ("htdemucs", "hdemucs_mmi"):
        demucs.fetch(model)
    for model in ("htdemucs", "hdemucs_mmi"):
        assert demucs.load(model).model == model
        assert not demucs.is_present(model)


_CUT_DOWNLOAD = """
import sys
from pathlib import Path
from msaas.logs import configure_logging, log_context
from msaas_worker.separators.hub import Hub

configure_logging(service="worker", level="info")
with log_context(job_id="aaaa"):
    Hub(cache=Path(sys.argv[2]), endpoint=sys.argv[1]).fetch("adefossez/HTDemucs", "955717e8.safetensors")
"""


@pytest.mark.process
def test_line_of_the_client_library_is_printed_once_as_json_with_the_context(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.cuts = 1
    ended = subprocess.run(
        [sys.executable, "-c", _CUT_DOWNLOAD, hub.endpoint, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stderr == ""
    [line] = [json.loads(text) for text in ended.stdout.splitlines()]
    assert "Trying to resume download" in line["event"]
    assert (line["level"], line["service"], line["job_id"]) == ("warning", "worker", "aaaa")
    assert line["logger"].startswith("huggingface_hub")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_model_is_downloaded_with_a_read_only_cache(hub: HubServer, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert fetch_and_load(hub, tmp_path)


def test_silent_hub_is_abandoned(hub: HubServer, tmp_path: Path) -> None:
    hub.silence_s = 5.0
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="no answer"):
        fetch_and_load(hub, tmp_path, silence_s=0.5)
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    "endpoint", [REFUSING_ENDPOINT, "http://hub.invalid"], ids=["refused", "no such name"]
)
def test_immediate_error_ends_the_download_at_once(endpoint: str, tmp_path: Path) -> None:
    """The client library itself would try again for 15 s."""
    demucs = family(endpoint, tmp_path)
    began = time.monotonic()
    with pytest.raises(ModelUnavailable):
        demucs.fetch("htdemucs")
    assert time.monotonic() - began < 3


def test_error_of_an_unreachable_hub_says_how_to_get_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as error:
        family(REFUSING_ENDPOINT, tmp_path).fetch("htdemucs")
    for advice in ("htdemucs.yaml", "MODEL_REPO", REFUSING_ENDPOINT, "refused", "MODEL_FALLBACK=starter"):
        assert advice in str(error.value)


def test_connection_is_left_to_a_proxy(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy, here the hub itself, resolves a name that this machine cannot."""
    monkeypatch.setenv("http_proxy", hub.endpoint)
    with pytest.raises(ModelUnavailable):
        family("http://hub.invalid", tmp_path, silence_s=2).fetch("htdemucs")
    assert hub.requests


def test_model_that_the_hub_lacks_is_unavailable(hub: HubServer, tmp_path: Path) -> None:
    del hub.files["adefossez/HTDemucs/htdemucs.yaml"]
    with pytest.raises(ModelUnavailable):
        fetch_and_load(hub, tmp_path)


def test_server_that_does_not_speak_http_is_unavailable(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=answer_with_noise, args=(server,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ModelUnavailable, match="MODEL_REPO"):
            family(endpoint, tmp_path, silence_s=2).fetch("htdemucs")


def answer_with_noise(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"noise\r\n\r\n")
