"""A job gets its model or the fallback at once; missing models are looked for in the background."""

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from worker.tests.hub import REFUSING_ENDPOINT, HubServer, running_hub
from worker.tests.model_families import RETRY_S, Clock, CountingFamily, ManualTasks, make_library
from worker.tests.models import as_safetensors, tiny, write_repo

from msaas.background import Tasks
from msaas.errors import ModelUnavailable
from msaas.models import MODELS
from msaas_worker.separators import ModelPending, Separator
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.library import Library, open_library, open_model
from tests.servers import wait_until

#: Longest time that `get` may take in a job, if the model it returns is loaded.
JOB_S = 0.2
FILES = {
    "adefossez/HTDemucs/htdemucs.yaml": b"models: ['955717e8']\n",
    "adefossez/HTDemucs/955717e8.safetensors": as_safetensors(tiny()),
}


@pytest.fixture
def tasks() -> ManualTasks:
    return ManualTasks()


@pytest.fixture
def clock(tasks: ManualTasks) -> Clock:
    return tasks.clock


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


def open_without_cache(endpoint: str, tmp_path: Path, stopping: threading.Event, **settings: Any) -> Library:
    hub = Hub(cache=tmp_path / "cache", endpoint=endpoint, silence_s=settings.pop("silence_s", 10.0))
    defaults = {"default": "htdemucs", "repo": None, "fallback": "", "device": "cpu", "precision": "exact"}
    return open_library(**{**defaults, "hub": hub, "tasks": Tasks(stopping), **settings})


def seconds_of_get(library: Library, model: str) -> float:
    began = time.monotonic()
    with suppress(ModelUnavailable):
        library.get(model)
    return time.monotonic() - began


# Models that are on this machine


def test_default_model_and_one_other_stay_loaded(tasks: ManualTasks) -> None:
    family = CountingFamily()
    library = make_library(family, tasks)
    for model in ["htdemucs", "mdx", "mdx", "htdemucs", "mdx_extra", "htdemucs", "mdx"]:
        assert library.get(model).model == model
    assert family.loads == ["htdemucs", "mdx", "mdx_extra", "mdx"]


def test_memory_is_returned_after_the_previous_model_is_released(tasks: ManualTasks) -> None:
    previous: list[weakref.ref[Separator]] = []
    still_there: list[list[bool]] = []

    def note() -> None:
        still_there.append([model() is not None for model in previous])

    library = make_library(CountingFamily(), tasks, return_memory=note)
    library.get("htdemucs")
    previous.append(weakref.ref(library.get("mdx")))
    library.get("mdx")
    library.get("mdx_extra")
    assert still_there == [[], [], [False]]


def test_loading_is_logged_with_its_duration(tasks: ManualTasks) -> None:
    with capture_logs() as lines:
        make_library(CountingFamily(), tasks).get("htdemucs")
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


def test_fallback_replaces_a_missing_model_and_logs_the_reason(tasks: ManualTasks) -> None:
    library = make_library(CountingFamily(missing={"htdemucs"}), tasks, fallback="starter")
    with capture_logs() as lines:
        assert library.get("htdemucs").model == library.get("htdemucs").model == "starter"
    (line,) = [line for line in lines if line["event"] == "model_replaced"]
    assert (line["model"], line["runs"], line["reason"]) == ("htdemucs", "starter", "htdemucs is missing")
    assert line["log_level"] == "warning"


def test_missing_fallback_is_an_error(tasks: ManualTasks) -> None:
    library = make_library(CountingFamily(missing={"htdemucs", "starter"}), tasks, fallback="starter")
    with pytest.raises(ModelPending):
        library.get("htdemucs")
    tasks.run()
    with pytest.raises(ModelUnavailable, match="starter was not delivered"):
        library.get("htdemucs")


def test_model_that_is_found_later_replaces_its_fallback(tasks: ManualTasks, clock: Clock) -> None:
    family = CountingFamily(missing={"htdemucs"})
    library = make_library(family, tasks, fallback="starter")
    for _ in range(2):
        assert library.get("htdemucs").model == "starter"
        clock.advance(RETRY_S)
        tasks.run()
    assert family.fetches == ["htdemucs"] * 2
    family.missing.clear()
    clock.advance(RETRY_S)
    tasks.run()
    assert library.get("htdemucs").model == "htdemucs"
    clock.advance(RETRY_S)
    tasks.run()
    assert family.fetches == ["htdemucs"] * 3


def test_job_without_a_fallback_waits_in_the_queue_for_the_download(tasks: ManualTasks) -> None:
    family = CountingFamily(missing={"htdemucs"}, downloadable={"htdemucs"})
    library = make_library(family, tasks)
    for _ in range(3):
        with pytest.raises(ModelPending, match="htdemucs is being downloaded"):
            library.get("htdemucs")
    assert family.fetches == []
    tasks.run()
    assert library.get("htdemucs").model == "htdemucs"
    assert family.fetches == ["htdemucs"]


def test_error_of_the_download_is_remembered_until_the_next_one(tasks: ManualTasks, clock: Clock) -> None:
    family = CountingFamily(missing={"htdemucs"})
    library = make_library(family, tasks)
    with pytest.raises(ModelPending):
        library.get("htdemucs")
    with capture_logs() as lines:
        tasks.run()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("model_download_started", "info"),
        ("model_fetch_failed", "warning"),
    ]
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="htdemucs was not delivered"):
            library.get("htdemucs")
        tasks.run()
    assert family.fetches == ["htdemucs"]
    family.downloadable.add("htdemucs")
    clock.advance(RETRY_S)
    tasks.run()
    assert library.get("htdemucs").model == "htdemucs"


def test_job_waits_in_the_queue_while_the_next_download_runs(tasks: ManualTasks, clock: Clock) -> None:
    family = CountingFamily(missing={"htdemucs"})
    library = make_library(family, tasks)
    outcomes: list[type[Exception]] = []

    def ask(_: str) -> None:
        with pytest.raises(ModelUnavailable) as raised:
            library.get("htdemucs")
        outcomes.append(raised.type)

    family.on_fetch = ask
    ask("")
    tasks.run()
    ask("")
    clock.advance(RETRY_S)
    tasks.run()
    assert outcomes == [ModelPending, ModelPending, ModelUnavailable, ModelPending]


def test_hub_is_asked_once_in_each_pause(tasks: ManualTasks, clock: Clock) -> None:
    family = CountingFamily(missing={"htdemucs", "mdx"})
    library = make_library(family, tasks, fallback="starter")
    library.get("htdemucs")
    tasks.run()
    library.get("mdx")
    for _ in range(3):
        tasks.run()
    assert family.fetches == ["htdemucs", "mdx"]
    clock.advance(RETRY_S)
    tasks.run()
    assert family.fetches == ["htdemucs", "mdx"] * 2


def test_download_task_is_started_once_and_woken_for_each_missing_model(tasks: ManualTasks) -> None:
    library = make_library(CountingFamily(missing={"htdemucs", "mdx"}), tasks, fallback="starter")
    for model in ("htdemucs", "mdx"):
        library.get(model)
        assert tasks.wake.is_set()
        tasks.wake.clear()
    assert tasks.names == ["models"]


@pytest.mark.parametrize("fallback", ["", "starter"])
def test_damaged_model_is_loaded_once(fallback: str, tasks: ManualTasks, clock: Clock) -> None:
    """Each further try would read the files in the way of a job."""
    family = CountingFamily(damaged={"htdemucs"})
    library = make_library(family, tasks, fallback=fallback)
    for _ in range(3):
        if fallback:
            assert library.get("htdemucs").model == "starter"
        else:
            with pytest.raises(ModelUnavailable, match=r"is damaged\. .*restart the worker") as raised:
                library.get("htdemucs")
            assert raised.type is ModelUnavailable
        clock.advance(RETRY_S)
        tasks.run()
    assert family.loads.count("htdemucs") == 1
    assert family.fetches == []


def test_defect_of_a_download_is_raised_to_the_task_and_leaves_an_error(tasks: ManualTasks) -> None:
    family = CountingFamily(missing={"htdemucs"})
    library = make_library(family, tasks)

    def fail(_: str) -> None:
        raise ZeroDivisionError

    family.on_fetch = fail
    with pytest.raises(ModelPending):
        library.get("htdemucs")
    with pytest.raises(ZeroDivisionError):
        tasks.run()
    with pytest.raises(ModelUnavailable, match="ZeroDivisionError") as raised:
        library.get("htdemucs")
    assert raised.type is ModelUnavailable


def test_lines_of_a_download_name_the_model(tasks: ManualTasks) -> None:
    library = make_library(CountingFamily(missing={"htdemucs"}), tasks, fallback="starter")
    library.get("htdemucs")
    with capture_logs(processors=[merge_contextvars]) as lines:
        tasks.run()
    assert [(line["event"], line["model"]) for line in lines] == [
        ("model_download_started", "htdemucs"),
        ("model_fetch_failed", "htdemucs"),
    ]


# The model that runs for each name


def test_runs_names_the_fallback_of_models_that_are_not_on_this_machine(tasks: ManualTasks) -> None:
    """No model was requested yet."""
    family = CountingFamily(missing={"mdx", "mdx_extra"})
    runs = make_library(family, tasks, fallback="starter").runs()
    assert (runs["htdemucs"], runs["mdx"], runs["mdx_extra"], runs["starter"]) == (
        "htdemucs",
        "starter",
        "starter",
        "starter",
    )
    assert set(runs) == set(MODELS)
    assert family.loads == []


def test_runs_has_no_missing_model_without_a_fallback(tasks: ManualTasks) -> None:
    runs = make_library(CountingFamily(missing={"mdx"}), tasks).runs()
    assert set(runs) == set(MODELS) - {"mdx"}


def test_runs_changes_when_a_model_turns_out_to_be_damaged(tasks: ManualTasks) -> None:
    library = make_library(CountingFamily(damaged={"htdemucs"}), tasks, fallback="starter")
    assert library.runs()["htdemucs"] == "htdemucs"
    library.has_changed.clear()
    library.get("htdemucs")
    assert library.has_changed.is_set()
    assert library.runs()["htdemucs"] == "starter"


def test_runs_changes_when_a_model_is_found(tasks: ManualTasks) -> None:
    """Before any job loads it."""
    family = CountingFamily(missing={"htdemucs"}, downloadable={"htdemucs"})
    library = make_library(family, tasks, fallback="starter")
    library.get("htdemucs")
    assert library.runs()["htdemucs"] == "starter"
    library.has_changed.clear()
    tasks.run()
    assert library.has_changed.is_set()
    assert library.runs()["htdemucs"] == "htdemucs"
    assert "htdemucs" not in family.loads


# The hub


@pytest.fixture
def silent_hub() -> Iterator[HubServer]:
    with running_hub(HubServer(FILES, silence_s=30.0)) as hub:
        yield hub


@pytest.mark.parametrize("fallback", ["", "starter"])
def test_job_does_not_wait_for_a_silent_hub(
    fallback: str, silent_hub: HubServer, tmp_path: Path, stopping: threading.Event
) -> None:
    library = open_without_cache(silent_hub.endpoint, tmp_path, stopping, fallback=fallback)
    # Import the family and the client library.
    seconds_of_get(library, "htdemucs")
    known = [seconds_of_get(library, "htdemucs") for _ in range(20)]
    new = [seconds_of_get(library, model) for model in ("mdx", "mdx_extra", "hdemucs_mmi")]
    assert median(known) < JOB_S
    assert min(new) < JOB_S
    wait_until(lambda: silent_hub.requests)


@pytest.mark.parametrize(
    "endpoint", [REFUSING_ENDPOINT, "http://hub.invalid"], ids=["refused", "no such name"]
)
def test_job_without_a_fallback_gets_the_error_of_the_hub_soon(
    endpoint: str, tmp_path: Path, stopping: threading.Event
) -> None:
    library = open_without_cache(endpoint, tmp_path, stopping)

    def is_answered() -> bool:
        with pytest.raises(ModelUnavailable) as raised:
            library.get("htdemucs")
        return raised.type is ModelUnavailable

    wait_until(is_answered, timeout_s=10)


def test_model_is_downloaded_in_the_background_without_a_fallback(
    tmp_path: Path, stopping: threading.Event
) -> None:
    with running_hub(HubServer(FILES)) as hub:
        library = open_without_cache(hub.endpoint, tmp_path, stopping)
        with pytest.raises(ModelPending):
            library.get("htdemucs")
        wait_until(lambda: "htdemucs" in library.runs())
        assert library.get("htdemucs").model == "htdemucs"


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


def test_one_model_is_downloaded_and_loaded(tmp_path: Path) -> None:
    with running_hub(HubServer(FILES)) as server:
        hub = Hub(cache=tmp_path, endpoint=server.endpoint)
        assert open_model("htdemucs", repo=None, precision="exact", hub=hub).model == "htdemucs"


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
