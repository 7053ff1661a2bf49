"""Export: the weights file, legacy formats, averages and the choice of a checkpoint."""

import copy
import os

import pytest
import torch
from safetensors.torch import save_file
from training.tests.support import legacy_weights, new_plan, new_run, noise_stems

from msaas_training.export import average_models, latest_checkpoints, load_model, write_weights
from msaas_training.spectra import BINS, LOW_BINS
from msaas_training.train import ARCHITECTURE, Run, build_model, train_step
from msaas_worker.separators.starter import Starter
from msaas_worker.separators.weights import read_network


@pytest.fixture
def run() -> Run:
    return new_run()


def test_training_starts_from_exported_weights(run, tmp_path):
    train_step(run, true=noise_stems(bins=LOW_BINS), rate=1e-3)
    write_weights(run.model, path=tmp_path / "starter.safetensors")
    start = tmp_path / "starter.safetensors"
    second = Run(new_plan(start=start, seed=9))
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value.half().float())


@pytest.mark.parametrize("context", [True, False], ids=["with context", "without context"])
@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_conversion_of_legacy_weights_keeps_the_function(tmp_path, context, bins):
    four, file = legacy_weights(channels=ARCHITECTURE["channels"])
    if not context:
        file = {name: value for name, value in file.items() if not name.startswith("context.")}
        for parameter in four.context.parameters():
            torch.nn.init.zeros_(parameter)
    save_file(file, tmp_path / "four.safetensors")
    three = build_model(tmp_path / "four.safetensors", seed=3).eval()
    maps = torch.randn(1, 4, bins, 20, generator=torch.manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(three.mask_logits(maps), four.mask_logits(maps), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        {"encoder.0.conv.weight": None},
        {"context.0.first.weight": None},
        {"tencoder.0.conv.weight": torch.zeros(1)},
        {"encoder.0.conv.weight": torch.zeros(64, 4, 8, 1)},
    ],
    ids=["first layer missing", "half of the context missing", "surplus layer", "other width"],
)
def test_weights_of_another_architecture_are_refused(run, tmp_path, other):
    weights = run.model.state_dict() | other
    save_file({n: v for n, v in weights.items() if v is not None}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another architecture"):
        build_model(tmp_path / "other.safetensors", seed=3)


def test_worker_loads_the_exported_weights(run, tmp_path):
    path = tmp_path / "starter.safetensors"
    write_weights(run.model, path=path)
    loaded = read_network(path, classes=(Starter,))
    assert loaded.sources == ["drums", "bass", "other", "vocals"]
    assert loaded.segment == ARCHITECTURE["segment"]
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())


def test_average_counts_a_repeated_model_twice(run):
    one, other = copy.deepcopy(run.model), run.model
    train_step(run, true=noise_stems(bins=LOW_BINS), rate=1e-2)
    expected = {name: (value + 2 * other.state_dict()[name]) / 3 for name, value in one.state_dict().items()}
    assert any(not torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in expected)
    for name, value in average_models([one, other, other]).state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_latest_named_checkpoints_are_candidates(tmp_path):
    assert not latest_checkpoints(tmp_path, count=3)
    for age, name in enumerate(("last", "step-00009", "step-00010", "step-00008", "step-00011")):
        (tmp_path / f"{name}.pt").touch()
        os.utime(tmp_path / f"{name}.pt", (100 - age, 100 - age))
        if age == 0:
            assert [path.stem for path in latest_checkpoints(tmp_path, count=3)] == ["last"]
    assert [path.stem for path in latest_checkpoints(tmp_path, count=3)] == [
        "step-00008",
        "step-00010",
        "step-00009",
    ]


def test_load_model_reads_exported_weights(run, tmp_path):
    write_weights(run.model, path=tmp_path / "exported.safetensors")
    loaded = load_model(str(tmp_path / "exported.safetensors"), folder=tmp_path).state_dict()
    assert loaded.keys() == run.model.state_dict().keys()
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(loaded[name], value.half().float(), rtol=0, atol=0)


def test_load_model_reads_legacy_weights(run, tmp_path):
    _, file = legacy_weights(channels=ARCHITECTURE["channels"])
    save_file(file, tmp_path / "legacy.safetensors")
    loaded = load_model(str(tmp_path / "legacy.safetensors"), folder=tmp_path).state_dict()
    assert loaded.keys() == run.model.state_dict().keys()
    torch.testing.assert_close(loaded["encoder.2.conv.weight"], file["encoder.2.conv.weight"])
