"""A job gets its model or the fallback at once; missing models are looked for in the background."""

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from structlog.testing import capture_logs
from worker.tests.hub import REFUSING_ENDPOINT, HubServer, running_hub
from worker.tests.models import as_safetensors, tiny, write_repo

from msaas.errors import ModelUnavailable
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import BagSeparator
from msaas_worker.separators.families import Family, ModelMissing
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.library import Library, open_library
from msaas_worker.separators.overlap_add import Runner, Segments
from tests.servers import wait_until

#: Longest time that `get` may take in a job, if the model it returns is loaded.
JOB_S = 0.2
FILES = {
    "adefossez/HTDemucs/htdemucs.yaml": b"models: ['955717e8']\n",
    "adefossez/HTDemucs/955717e8.safetensors": as_safetensors(tiny()),
}


@dataclass
class CountingFamily:
    """A family that counts its calls. Models in `missing` are absent, those in `damaged` cannot be loaded."""

    missing: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    fetches: list[str] = field(default_factory=list)

    def load(self, model: str) -> Separator:
        if model in self.missing:
            raise ModelMissing(f"{model} is missing")
        self.loads.append(model)
        if model in self.damaged:
            raise ModelUnavailable(f"{model} is damaged")
        runner = Runner(segments=Segments(1, lambda samples: samples), forward=lambda x: x)
        return BagSeparator(
            model=model, bag=Bag.of_equals((), networks=1), runners=(runner,), weights_sha256=""
        )

    def fetch(self, model: str) -> None:
        self.fetches.append(model)
        if model in self.missing:
            raise ModelUnavailable(f"{model} was not delivered")


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


def make_library(family: Family, stopping: threading.Event, **settings: Any) -> Library:
    return Library(lambda model: family, **{"default": "htdemucs", "stopping": stopping, **settings})


def open_without_cache(endpoint: str, tmp_path: Path, stopping: threading.Event, **settings: Any) -> Library:
    hub = Hub(cache=tmp_path / "cache", endpoint=endpoint, silence_s=settings.pop("silence_s", 10.0))
    defaults = {"default": "htdemucs", "repo": None, "fallback": "", "device": "cpu", "precision": "exact"}
    return open_library(**{**defaults, "hub": hub, "stopping": stopping, **settings})


def seconds_of_get(library: Library, model: str) -> float:
    began = time.monotonic()
    with suppress(ModelUnavailable):
        library.get(model)
    return time.monotonic() - began


# Models that are on this machine


def test_default_model_and_one_other_stay_loaded(stopping: threading.Event) -> None:
    family = CountingFamily()
    library = make_library(family, stopping)
    for model in ["htdemucs", "mdx", "mdx", "htdemucs", "mdx_extra", "htdemucs", "mdx"]:
        assert library.get(model).model == model
    assert family.loads == ["htdemucs", "mdx", "mdx_extra", "mdx"]


def test_memory_is_returned_after_the_previous_model_is_released(
    stopping: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, previous, still_there = make_library(CountingFamily(), stopping), [], []

    monkeypatch.setattr(
        "msaas_worker.separators.library.return_freed_memory",
        lambda: still_there.append([model() is not None for model in previous]),
    )
    library.get("htdemucs")
    previous.append(weakref.ref(library.get("mdx")))
    library.get("mdx")
    library.get("mdx_extra")
    assert still_there == [[], [], [False]]


def test_loading_is_logged_with_its_duration(stopping: threading.Event) -> None:
    with capture_logs() as lines:
        make_library(CountingFamily(), stopping).get("htdemucs")
    assert [line["event"] for line in lines] == ["model_loading", "model_loaded"]
    assert lines[1]["model"] == "htdemucs"
    assert lines[1]["seconds"] >= 0


def test_files_that_cannot_be_read_raise_a_named_error(stopping: threading.Event, tmp_path: Path) -> None:
    folder = write_repo(tmp_path, [tiny()])
    (weights,) = folder.glob("*.th")
    weights.unlink()
    weights.mkdir()
    library = open_without_cache(REFUSING_ENDPOINT, tmp_path, stopping, repo=folder)
    with pytest.raises(ModelUnavailable, match="htdemucs cannot be read"):
        library.get("htdemucs")


# Models that are missing


def test_fallback_replaces_a_missing_model_and_logs_the_reason(stopping: threading.Event) -> None:
    replaced: list[tuple[str, str | None]] = []
    library = make_library(
        CountingFamily(missing={"htdemucs"}),
        stopping,
        fallback="starter",
        on_stand_in=lambda model, runs: replaced.append((model, runs)),
    )
    with capture_logs() as lines:
        assert library.get("htdemucs").model == library.get("htdemucs").model == "starter"
    (line,) = [line for line in lines if line["event"] == "model_replaced"]
    assert (line["model"], line["runs"], line["reason"]) == ("htdemucs", "starter", "htdemucs is missing")
    assert line["log_level"] == "warning"
    assert replaced == [("htdemucs", "starter"), ("starter", None), ("htdemucs", "starter")]


def test_missing_fallback_is_an_error(stopping: threading.Event) -> None:
    library = make_library(CountingFamily(missing={"htdemucs", "starter"}), stopping, fallback="starter")
    with pytest.raises(ModelUnavailable, match="starter was not delivered"):
        library.get("htdemucs")


def test_model_that_is_found_later_replaces_its_fallback(stopping: threading.Event) -> None:
    replaced: list[tuple[str, str | None]] = []
    family = CountingFamily(missing={"htdemucs"})
    library = make_library(
        family,
        stopping,
        fallback="starter",
        model_retry_s=0.05,
        on_stand_in=lambda model, runs: replaced.append((model, runs)),
    )
    assert library.get("htdemucs").model == "starter"
    wait_until(lambda: len(family.fetches) > 1)
    assert library.get("htdemucs").model == "starter"
    family.missing.clear()
    wait_until(lambda: library.get("htdemucs").model == "htdemucs")
    assert replaced[-1] == ("htdemucs", None)
    fetches = len(family.fetches)
    time.sleep(0.2)
    assert len(family.fetches) == fetches


def test_error_is_remembered_until_the_model_is_found(stopping: threading.Event) -> None:
    family = CountingFamily(missing={"htdemucs"})
    library = make_library(family, stopping)
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="htdemucs was not delivered"):
            library.get("htdemucs")
    assert family.fetches == ["htdemucs"]


def test_hub_is_asked_once_in_each_pause(stopping: threading.Event) -> None:
    family = CountingFamily(missing={"htdemucs", "mdx"})
    library = make_library(family, stopping, fallback="starter", model_retry_s=60.0)
    library.get("htdemucs")
    wait_until(lambda: family.fetches)
    library.get("mdx")
    wait_until(lambda: "mdx" in family.fetches)
    time.sleep(0.2)
    assert family.fetches == ["htdemucs", "mdx"]


def test_damaged_model_is_loaded_again_after_a_pause_only(stopping: threading.Event) -> None:
    family = CountingFamily(damaged={"htdemucs"})
    library = make_library(family, stopping, fallback="starter", model_retry_s=0.5)
    began = time.monotonic()
    while time.monotonic() - began < 0.3:
        assert library.get("htdemucs").model == "starter"
    assert family.loads == ["htdemucs", "starter"]
    family.damaged.clear()
    wait_until(lambda: library.get("htdemucs").model == "htdemucs")


# The hub


@pytest.fixture
def silent_hub() -> Iterator[HubServer]:
    with running_hub(HubServer(FILES, silence_s=30.0)) as hub:
        yield hub


def test_job_with_a_fallback_does_not_wait_for_a_silent_hub(
    silent_hub: HubServer, tmp_path: Path, stopping: threading.Event
) -> None:
    library = open_without_cache(silent_hub.endpoint, tmp_path, stopping, fallback="starter")
    library.get("htdemucs")
    known = [seconds_of_get(library, "htdemucs") for _ in range(20)]
    new = [seconds_of_get(library, model) for model in ("mdx", "mdx_extra", "hdemucs_mmi")]
    assert median(known) < JOB_S
    assert min(new) < JOB_S
    wait_until(lambda: silent_hub.requests)


@pytest.mark.parametrize(
    "endpoint", [REFUSING_ENDPOINT, "http://hub.invalid"], ids=["refused", "no such name"]
)
def test_job_without_a_fallback_waits_for_the_hub_at_most_once(
    endpoint: str, tmp_path: Path, stopping: threading.Event
) -> None:
    library = open_without_cache(endpoint, tmp_path, stopping, silence_s=3.0)
    assert seconds_of_get(library, "htdemucs") < 4
    assert median(seconds_of_get(library, "htdemucs") for _ in range(20)) < JOB_S


def test_model_is_downloaded_in_the_first_job_without_a_fallback(
    tmp_path: Path, stopping: threading.Event
) -> None:
    with running_hub(HubServer(FILES)) as hub:
        assert open_without_cache(hub.endpoint, tmp_path, stopping).get("htdemucs").model == "htdemucs"


def test_model_is_downloaded_in_the_background_with_a_fallback(
    tmp_path: Path, stopping: threading.Event
) -> None:
    with running_hub(HubServer({})) as hub:
        library = open_without_cache(hub.endpoint, tmp_path, stopping, fallback="starter", model_retry_s=0.2)
        assert library.get("htdemucs").model == "starter"
        wait_until(lambda: hub.requests)
        assert library.get("htdemucs").model == "starter"
        hub.files |= FILES
        wait_until(lambda: library.get("htdemucs").model == "htdemucs")


# The process


_DOWNLOAD_AT_EXIT = """
import threading, time
from types import SimpleNamespace
from msaas_worker.separators.families import ModelMissing
from msaas_worker.separators.library import Library

fetching = threading.Event()

class Family:
    def load(self, model):
        if model == "htdemucs":
            raise ModelMissing("absent")
        return SimpleNamespace(model=model, device="cpu", engine="none")

    def fetch(self, model):
        fetching.set()
        time.sleep(60)

Library(lambda model: Family(), default="htdemucs", fallback="starter").get("htdemucs")
assert fetching.wait(30)
"""


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=45
    )


def test_process_ends_during_a_download() -> None:
    run_python(_DOWNLOAD_AT_EXIT)


def test_library_is_imported_without_torch_and_without_the_client_of_the_hub() -> None:
    """Otherwise a worker prints its first line seconds after its start."""
    loaded = run_python(
        "import sys, msaas_worker.separators.library; print({'torch', 'huggingface_hub'} & set(sys.modules))"
    )
    assert loaded.stdout.strip() == "set()"
