"""`msaas_worker.fetch` makes a folder for MODEL_REPO."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker.tests.hub import REFUSING_ENDPOINT, HubServer, running_hub

from msaas_worker.fetch import fetch
from msaas_worker.separators.demucs.repository import find_in_folder
from msaas_worker.separators.hub import Hub

WEIGHTS = "adefossez/HTDemucs/955717e8.safetensors"


@pytest.fixture
def server() -> Iterator[HubServer]:
    files = {"adefossez/HTDemucs/htdemucs.yaml": b"models: ['955717e8']\n", WEIGHTS: b"weights"}
    with running_hub(HubServer(files)) as server:
        yield server


def test_fetched_model_is_found_in_its_folder(server: HubServer, tmp_path: Path) -> None:
    hub = Hub(cache=tmp_path / "cache", endpoint=server.endpoint)
    fetch("htdemucs", into=tmp_path / "models", hub=hub)
    files = find_in_folder(tmp_path / "models", "htdemucs")
    assert files
    assert [path.read_bytes() for path in files.weights] == [b"weights"]


def test_folder_has_no_model_if_the_hub_lacks_its_weights(server: HubServer, tmp_path: Path) -> None:
    del server.files[WEIGHTS]
    hub = Hub(cache=tmp_path / "cache", endpoint=server.endpoint)
    with pytest.raises(OSError, match=r"955717e8\.safetensors"):
        fetch("htdemucs", into=tmp_path / "models", hub=hub)
    assert find_in_folder(tmp_path / "models", "htdemucs") is None


def run_fetch(*arguments: str, folder: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HF_HOME": str(folder / "home"), "HF_ENDPOINT": endpoint}
    command = [sys.executable, "-m", "msaas_worker.fetch", *arguments, "--into", str(folder / "models")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_command_fetches_a_model(server: HubServer, tmp_path: Path) -> None:
    run = run_fetch("htdemucs", folder=tmp_path, endpoint=server.endpoint)
    assert run.returncode == 0, run.stderr
    assert find_in_folder(tmp_path / "models", "htdemucs")


def test_command_names_the_cause_in_one_line(tmp_path: Path) -> None:
    run = run_fetch("htdemucs", folder=tmp_path, endpoint=REFUSING_ENDPOINT)
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"Model htdemucs was not fetched from {REFUSING_ENDPOINT}: ")
    assert "refused" in line


def test_command_refuses_a_model_that_is_not_on_the_hub(tmp_path: Path) -> None:
    run = run_fetch("starter", folder=tmp_path, endpoint=REFUSING_ENDPOINT)
    assert run.returncode == 2
    assert "Model starter is not on the hub" in run.stderr


def test_command_refuses_an_unknown_model_and_lists_the_known_ones(tmp_path: Path) -> None:
    run = run_fetch("htdemux", folder=tmp_path, endpoint=REFUSING_ENDPOINT)
    assert run.returncode == 2
    assert "Model 'htdemux' is unknown. Choose one of htdemucs, " in run.stderr


def test_command_fetches_the_model_that_an_alias_means(server: HubServer, tmp_path: Path) -> None:
    folder = "adefossez/Demucs-mdx_extra"
    server.files |= {
        f"{folder}/mdx_extra.yaml": b"models: ['e51eebcc']\n",
        f"{folder}/e51eebcc.safetensors": b"weights",
    }
    run = run_fetch("mdx_extra_q", folder=tmp_path, endpoint=server.endpoint)
    assert run.returncode == 0, run.stderr
    assert find_in_folder(tmp_path / "models", "mdx_extra")
