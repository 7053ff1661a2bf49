"""Models in MODEL_REPO are found, verified and loaded without running code that they name."""

import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
import yaml
from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name
from structlog.testing import capture_logs
from worker.tests.hub import REFUSING_ENDPOINT
from worker.tests.models import STEMS, as_safetensors, as_th, tiny, write_repo

from msaas.errors import ModelUnavailable
from msaas.models import MODELS
from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.separators.demucs.loader import CLASSES
from msaas_worker.separators.engine import BagSeparator
from msaas_worker.separators.families import LoadOptions, ModelMissing, load_model
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.weights import read_network

SEGMENT = torch.randn(1, 2, SAMPLERATE // 2, generator=torch.Generator().manual_seed(0))


def load(folder: Path, model: str = "htdemucs") -> BagSeparator:
    hub = Hub(cache=Path("/dev/null/hub"), endpoint=REFUSING_ENDPOINT)
    separator = load_model(model, LoadOptions(precision="exact", repo=folder, hub=hub))
    assert isinstance(separator, BagSeparator)
    return separator


def load_and_capture(folder: Path) -> list[dict[str, Any]]:
    """Return the events of loading."""
    with capture_logs() as lines:
        load(folder)
    return [dict(line) for line in lines]


def estimate(separator: BagSeparator) -> torch.Tensor:
    with torch.inference_mode():
        return separator.runners[0].forward(SEGMENT)


def write_bag(folder: Path, definition: object = None, *, name: str = "htdemucs") -> Path:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(definition or {"models": ["sig0"]}))
    return folder


def test_layout_of_demucs_is_loaded_and_its_checksum_verified(tmp_path: Path) -> None:
    folder = write_repo(tmp_path, [tiny(seed=7)])
    separator = load(folder)
    assert separator.bag.stems == tuple(STEMS)
    assert torch.allclose(estimate(separator), tiny(seed=7)(SEGMENT), atol=1e-5)
    assert load_and_capture(folder) == []


def test_damaged_file_is_rejected(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()])
    (weights,) = tmp_path.glob("*.th")
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelUnavailable, match="damaged"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", ["th", "safetensors"])
def test_file_without_a_checksum_is_loaded_and_logged(suffix: str, tmp_path: Path) -> None:
    content = as_th(tiny()) if suffix == "th" else as_safetensors(tiny())
    (write_bag(tmp_path) / f"sig0.{suffix}").write_bytes(content)
    events = load_and_capture(tmp_path)
    assert [(line["event"], line["file"]) for line in events] == [("weights_unverified", f"sig0.{suffix}")]


def test_format_of_the_hub_gives_the_same_model(tmp_path: Path) -> None:
    (write_bag(tmp_path) / "sig0.safetensors").write_bytes(as_safetensors(tiny(seed=3)))
    other = load(write_repo(tmp_path / "th", [tiny(seed=3)]))
    assert torch.equal(estimate(load(tmp_path)), estimate(other))


def test_weights_and_segment_of_a_bag_are_used(tmp_path: Path) -> None:
    weights = [[1.0, 0, 0, 0], [0, 1.0, 1.0, 1.0]]
    write_repo(tmp_path, [tiny(seed=1), tiny(seed=2)], weights=weights)
    definition = yaml.safe_load((tmp_path / "htdemucs.yaml").read_text())
    write_bag(tmp_path, {**definition, "segment": 0.25})
    separator = load(tmp_path)
    assert separator.bag.weights == ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0))
    assert [runner.segments.length for runner in separator.runners] == [SAMPLERATE // 4] * 2


def test_segment_longer_than_that_of_the_training_is_ignored(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()])
    definition = yaml.safe_load((tmp_path / "htdemucs.yaml").read_text())
    write_bag(tmp_path, {**definition, "segment": 40})
    assert load(tmp_path).runners[0].segments.length == SAMPLERATE // 2


def test_bag_without_a_weight_for_each_stem_is_rejected(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()], weights=[[1.0, 1.0]])
    with pytest.raises(ModelUnavailable, match="a weight for each stem"):
        load(tmp_path)


def test_checksum_of_a_bag_depends_on_every_network(tmp_path: Path) -> None:
    one = load(write_repo(tmp_path / "one", [tiny(seed=1), tiny(seed=2)]))
    two = load(write_repo(tmp_path / "two", [tiny(seed=1), tiny(seed=3)]))
    assert one.weights_sha256 != two.weights_sha256


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.target),)

    def __init__(self, target: Path) -> None:
        self.target = str(target)


@pytest.mark.parametrize("place", ["state", "klass", "args"])
def test_th_file_runs_no_code(place: str, tmp_path: Path) -> None:
    changes = {place: Evil(tmp_path / "ran")}
    (write_bag(tmp_path) / "sig0.th").write_bytes(as_th(tiny(), **changes))
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_pickle_runs_no_code(tmp_path: Path) -> None:
    (write_bag(tmp_path) / "sig0.th").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ModelUnavailable):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.exec",
        "demucs.htdemucs.nn.Module",
        "",
        "subprocess.run",
        "msaas_worker.separators.starter.model.Starter",
    ],
)
def test_safetensors_of_another_class_are_rejected(name: str, tmp_path: Path) -> None:
    (write_bag(tmp_path) / "sig0.safetensors").write_bytes(as_safetensors(tiny(), klass=name))
    with pytest.raises(ModelUnavailable, match="not a model"):
        load(tmp_path)


def test_safetensors_that_build_other_objects_are_rejected(tmp_path: Path) -> None:
    structure = json.dumps({"_class": "subprocess.Popen"})
    (write_bag(tmp_path) / "sig0.safetensors").write_bytes(as_safetensors(tiny(), structure=structure))
    with pytest.raises(ModelUnavailable, match="not a model"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04" + b"\0" * 50])
@pytest.mark.parametrize("suffix", ["th", "safetensors"])
def test_invalid_weights_raise_a_named_error(content: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"sig0.{suffix}").write_bytes(content)
    with pytest.raises(ModelUnavailable):
        read_network(tmp_path / f"sig0.{suffix}", classes=CLASSES)


@pytest.mark.parametrize(
    "definition",
    ["models: []", "models: ['../../etc/passwd']", "models: [1]", "[]", "{", "\x00", "models: abc"],
)
def test_invalid_definition_raises_a_named_error(definition: str, tmp_path: Path) -> None:
    (tmp_path / "htdemucs.yaml").write_text(definition)
    with pytest.raises(ModelUnavailable):
        load(tmp_path)


def test_two_files_for_one_signature_are_rejected(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny()])
    (tmp_path / "sig0.th").write_bytes(as_th(tiny()))
    with pytest.raises(ModelUnavailable, match="more than one file for sig0"):
        load(tmp_path)


def test_error_of_missing_weights_names_the_files(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"neither sig0\.th nor sig0\.safetensors"):
        load(write_bag(tmp_path))


def test_weights_of_other_stems_are_rejected(tmp_path: Path) -> None:
    write_repo(tmp_path, [tiny(sources=["vocals", "rest"])])
    with pytest.raises(ModelUnavailable, match="vocals, rest"):
        load(tmp_path)


def test_error_of_a_missing_model_names_folder_and_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=rf"it is not in MODEL_REPO=.*{REFUSING_ENDPOINT}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "model", [row for row in MODELS.values() if row.family == "demucs"], ids=lambda row: row.name
)
def test_source_of_a_model_is_its_repository_on_the_hub(model: Any) -> None:
    repository = urlsplit(model.source).path.strip("/")
    assert repository == f"{DEFAULT_NAMESPACE}/{hf_repo_name(model.name)}"
