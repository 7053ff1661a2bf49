"""What MODEL_REPO holds is found, checked and loaded without running what it names."""

import json
import logging
import pickle
import weakref
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from worker.tests.models import STEMS, as_safetensors, as_th, tiny, write_repo

from msaas.errors import DeviceUnavailable, ModelUnavailable
from msaas_worker.decoded import SAMPLERATE
from msaas_worker.separators import Separator
from msaas_worker.separators.devices import choose_device, usable_cores
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.library import Library, load_separator
from msaas_worker.separators.repository import Repository
from msaas_worker.separators.weights import read_model

SEGMENT = torch.randn(1, 2, SAMPLERATE // 2, generator=torch.Generator().manual_seed(0))
NOWHERE = Hub(Path("/dev/null/hub"), "http://127.0.0.1:9", 1.0)


def load(folder: Path | None, model: str = "htdemucs") -> DemucsSeparator:
    separator = load_separator(model, Repository(folder, NOWHERE), device="cpu", precision="exact")
    assert isinstance(separator, DemucsSeparator)
    return separator


def estimate(separator: DemucsSeparator) -> torch.Tensor:
    with torch.inference_mode():
        return separator.runners[0].forward(SEGMENT)


def bag(folder: Path, definition: object = None, *, name: str = "htdemucs") -> Path:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(definition or {"models": ["sig0"]}))
    return folder


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What was logged, as events with their fields."""
    monkeypatch.setattr(logging.getLogger("msaas"), "propagate", True)
    caplog.set_level(logging.DEBUG, logger="msaas")
    events: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append({"event": record.getMessage(), **getattr(record, "fields", {})})

    handler = Handler()
    logging.getLogger("msaas").addHandler(handler)
    yield events
    logging.getLogger("msaas").removeHandler(handler)


def test_demucs_own_layout_is_loaded_and_its_checksum_verified(
    tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    separator = load(write_repo(tmp_path, [tiny(seed=7)]))
    assert separator.stems == tuple(STEMS)
    assert torch.allclose(estimate(separator), tiny(seed=7)(SEGMENT), atol=1e-5)
    assert told == []


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()])
    (weights,) = tmp_path.glob("*.th")
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelUnavailable, match="damaged"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", ["th", "safetensors"])
def test_a_file_without_a_checksum_is_loaded_with_a_warning(
    suffix: str, tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    content = as_th(tiny()) if suffix == "th" else as_safetensors(tiny())
    (bag(tmp_path) / f"sig0.{suffix}").write_bytes(content)
    load(tmp_path)
    assert [(line["event"], line["file"]) for line in told] == [("weights_unverified", f"sig0.{suffix}")]


def test_the_hubs_form_in_a_folder_gives_the_same_model(tmp_path: Path) -> None:
    (bag(tmp_path) / "sig0.safetensors").write_bytes(as_safetensors(tiny(seed=3)))
    other = load(write_repo(tmp_path / "th", [tiny(seed=3)]))
    assert torch.equal(estimate(load(tmp_path)), estimate(other))


def test_a_bag_keeps_its_weights_and_its_segment(tmp_path: Path) -> None:
    weights = [[1.0, 0, 0, 0], [0, 1.0, 1.0, 1.0]]
    write_repo(tmp_path, [tiny(seed=1), tiny(seed=2)], weights=weights)
    definition = yaml.safe_load((tmp_path / "htdemucs.yaml").read_text())
    bag(tmp_path, {**definition, "segment": 0.25})
    separator = load(tmp_path)
    assert separator.bag.weights == ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0))
    assert [runner.segments.length for runner in separator.runners] == [SAMPLERATE // 4] * 2


def test_weights_that_do_not_fit_the_stems_are_refused(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()], weights=[[1.0, 1.0]])
    with pytest.raises(ModelUnavailable, match="a weight for each stem"):
        load(tmp_path)


def test_the_checksum_of_a_bag_is_another_for_other_weights(tmp_path: Path) -> None:
    one = load(write_repo(tmp_path / "one", [tiny(seed=1), tiny(seed=2)]))
    two = load(write_repo(tmp_path / "two", [tiny(seed=1), tiny(seed=3)]))
    assert one.weights_sha256 != two.weights_sha256


class Evil:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.target),)

    def __init__(self, target: Path) -> None:
        self.target = str(target)


@pytest.mark.parametrize("place", ["state", "klass", "args"])
def test_a_th_file_runs_nothing(place: str, tmp_path: Path) -> None:
    changes = {place: Evil(tmp_path / "ran")}
    (bag(tmp_path) / "sig0.th").write_bytes(as_th(tiny(), **changes))
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_runs_nothing(tmp_path: Path) -> None:
    (bag(tmp_path) / "sig0.th").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ModelUnavailable):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.exec", "demucs.htdemucs.nn.Module", "", "subprocess.run"]
)
def test_safetensors_may_name_no_class_but_a_model(name: str, tmp_path: Path) -> None:
    (bag(tmp_path) / "sig0.safetensors").write_bytes(as_safetensors(tiny(), klass=name))
    with pytest.raises(ModelUnavailable, match="not a model"):
        load(tmp_path)


def test_safetensors_may_not_build_other_objects(tmp_path: Path) -> None:
    structure = json.dumps({"_class": "subprocess.Popen"})
    (bag(tmp_path) / "sig0.safetensors").write_bytes(as_safetensors(tiny(), structure=structure))
    with pytest.raises(ModelUnavailable, match="not a model"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04" + b"\0" * 50])
@pytest.mark.parametrize("suffix", ["th", "safetensors"])
def test_what_is_no_weights_file_is_a_named_error(content: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"sig0.{suffix}").write_bytes(content)
    with pytest.raises(ModelUnavailable):
        read_model(tmp_path / f"sig0.{suffix}")


@pytest.mark.parametrize(
    "definition",
    ["models: []", "models: ['../../etc/passwd']", "models: [1]", "[]", "{", "\x00", "models: abc"],
)
def test_a_definition_that_is_none_is_a_named_error(definition: str, tmp_path: Path) -> None:
    (tmp_path / "htdemucs.yaml").write_text(definition)
    with pytest.raises(ModelUnavailable):
        load(tmp_path)


def test_two_files_for_one_signature_are_one_too_many(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()])
    (tmp_path / "sig0.th").write_bytes(as_th(tiny()))
    with pytest.raises(ModelUnavailable, match="more than one file for sig0"):
        load(tmp_path)


def test_a_definition_without_its_weights_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"neither its \.th nor its \.safetensors"):
        load(bag(tmp_path))


def test_weights_of_other_stems_are_refused(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny(sources=["vocals", "rest"])])
    with pytest.raises(ModelUnavailable, match="vocals, rest"):
        load(tmp_path)


def test_a_folder_without_the_model_is_no_obstacle_to_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"is not in MODEL_REPO=.*127\.0\.0\.1:9"):
        load(tmp_path)


class Loads:
    """A loader that counts, and that lacks some models."""

    def __init__(self, folder: Path, *, missing: Collection[str] = ()) -> None:
        self._separator = load(write_repo(folder, [tiny()]))
        self._missing = set(missing)
        self.loaded: list[str] = []

    def __call__(self, model: str) -> Separator:
        if model in self._missing:
            raise ModelUnavailable(f"{model} is nowhere")
        self.loaded.append(model)
        return DemucsSeparator(model, self._separator.bag, self._separator.runners, "", "exact")


def test_the_default_stays_and_of_the_others_the_last(tmp_path: Path) -> None:
    loads = Loads(tmp_path)
    library = Library(loads, default="htdemucs")
    for model in ["htdemucs", "mdx", "mdx", "htdemucs", "mdx_extra", "htdemucs", "mdx"]:
        assert library.get(model).model == model
    assert loads.loaded == ["htdemucs", "mdx", "mdx_extra", "mdx"]


def test_what_a_load_freed_is_given_back_once_the_model_before_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, before, still_there = Library(Loads(tmp_path), default="htdemucs"), [], []
    monkeypatch.setattr(
        "msaas_worker.separators.library.give_back_freed_memory",
        lambda: still_there.append([model() is not None for model in before]),
    )
    library.get("htdemucs")
    before.append(weakref.ref(library.get("mdx")))
    library.get("mdx")
    library.get("mdx_extra")
    assert still_there == [[], [], [False]]


def test_the_fallback_says_for_whom_it_works(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    library = Library(Loads(tmp_path, missing={"htdemucs"}), default="htdemucs", fallback="starter")
    assert library.get("htdemucs").model == "starter"
    (line,) = told
    assert (line["event"], line["model"], line["instead_of"]) == ("model_loaded", "starter", "htdemucs")
    assert line["because"] == "htdemucs is nowhere"


def test_what_the_fallback_stands_in_for_is_asked_for_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    loads = Loads(tmp_path, missing={"htdemucs"})

    def load_and_tell(model: str) -> Separator:
        asked.append(model)
        return loads(model)

    library = Library(load_and_tell, default="htdemucs", fallback="starter")
    assert library.get("htdemucs").model == library.get("htdemucs").model == "starter"
    assert asked == ["htdemucs", "starter"]
    loads._missing.clear()
    now[0] += 301
    assert library.get("htdemucs").model == library.get("htdemucs").model == "htdemucs"
    assert asked == ["htdemucs", "starter", "htdemucs"]


def test_without_a_fallback_a_missing_model_is_an_error_each_time(tmp_path: Path) -> None:
    loads = Loads(tmp_path, missing={"htdemucs"})
    library = Library(loads, default="htdemucs")
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            library.get("htdemucs")
    loads._missing.clear()
    assert library.get("htdemucs").model == "htdemucs"


def test_cuda_that_is_absent_is_refused_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(DeviceUnavailable, match="DEVICE=auto"):
        choose_device("cuda")


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)])
def test_threads_follow_the_quota_of_the_container(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr("msaas_worker.separators.devices._CGROUP_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable_cores() == cores


@pytest.mark.parametrize(
    ("threads", "cores"), [("3", 3), ("4,2", 4), ("64", 8), ("0", 8), ("many", 8), ("", 8)]
)
def test_threads_are_no_more_than_openmp_was_granted(
    threads: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas_worker.separators.devices._CGROUP_QUOTA", tmp_path / "none")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert usable_cores() == cores
