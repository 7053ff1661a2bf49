"""Weights are written as demucs reads them, begun with, averaged and chosen from."""

import copy
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training.export import mean_of, named, newest, write
from msaas_training.spectra import BINS, LOW_BINS
from msaas_training.train import ARCHITECTURE, Plan, Run, begun, train_step
from worker.tests.training_noise import FRAMES, begun_run, noise, with_a_silent_level

from msaas_worker.separators.weights import read_model


@pytest.fixture
def run() -> Run:
    return begun_run()


def test_training_goes_on_from_weights(run, tmp_path):
    train_step(run, true=noise(bins=LOW_BINS), rate=1e-3)
    write(run.model, path=tmp_path / "starter.safetensors")
    start = tmp_path / "starter.safetensors"
    second = Run(Plan(1, 1, FRAMES, "cpu", 1, start=start, seed=9))
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value.half().float())


@pytest.mark.parametrize("context", [True, False], ids=["with context", "of before it"])
@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_weights_with_the_silent_level_become_the_same_function_without_it(tmp_path, context, bins):
    four, file = with_a_silent_level(channels=ARCHITECTURE["channels"])
    if not context:
        file = {name: value for name, value in file.items() if not name.startswith("context.")}
        for parameter in four.context.parameters():
            torch.nn.init.zeros_(parameter)
    save_file(file, tmp_path / "four.safetensors")
    three = begun(tmp_path / "four.safetensors", seed=3).eval()
    maps = torch.randn(1, 4, bins, 20, generator=torch.manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(three.answers(maps), four.answers(maps), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        {"encoder.0.conv.weight": None},
        {"context.0.first.weight": None},
        {"tencoder.0.conv.weight": torch.zeros(1)},
        {"encoder.0.conv.weight": torch.zeros(64, 4, 8, 1)},
    ],
    ids=["the first layer lacks", "half of the context lacks", "a layer too many", "another width"],
)
def test_weights_of_another_model_are_refused(run, tmp_path, other):
    weights = run.model.state_dict() | other
    save_file({n: v for n, v in weights.items() if v is not None}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another model"):
        begun(tmp_path / "other.safetensors", seed=3)


def test_what_is_exported_is_what_the_worker_loads(run, tmp_path):
    path = tmp_path / "starter.safetensors"
    write(run.model, path=path)
    loaded = read_model(path)
    assert loaded.sources == ["drums", "bass", "other", "vocals"]
    assert loaded.segment == ARCHITECTURE["segment"]
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())


def test_a_mean_lies_between_weights_and_what_is_named_twice_counts_twice(run):
    one, other = copy.deepcopy(run.model), run.model
    train_step(run, true=noise(bins=LOW_BINS), rate=1e-2)
    wanted = {name: (value + 2 * other.state_dict()[name]) / 3 for name, value in one.state_dict().items()}
    assert any(not torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in wanted)
    for name, value in mean_of([one, other, other]).state_dict().items():
        torch.testing.assert_close(value, wanted[name])


def test_a_checkpoint_is_chosen_from_the_newest_that_were_kept_and_none_twice(tmp_path):
    assert not newest(tmp_path, count=3)
    for age, name in enumerate(("last", "step-00009", "step-00010", "step-00008", "step-00011")):
        (tmp_path / f"{name}.pt").touch()
        os.utime(tmp_path / f"{name}.pt", (100 - age, 100 - age))
        if age == 0:
            assert [path.stem for path in newest(tmp_path, count=3)] == ["last"]
    assert [path.stem for path in newest(tmp_path, count=3)] == ["step-00008", "step-00010", "step-00009"]


def test_a_mean_may_take_weights_that_were_written_before(run, tmp_path):
    write(run.model, path=tmp_path / "before.safetensors")
    given = named(str(tmp_path / "before.safetensors"), folder=tmp_path).state_dict()
    assert given.keys() == run.model.state_dict().keys()
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(given[name], value.half().float(), rtol=0, atol=0)


def test_a_mean_may_take_weights_of_an_older_form(run, tmp_path):
    _, file = with_a_silent_level(channels=ARCHITECTURE["channels"])
    save_file(file, tmp_path / "older.safetensors")
    given = named(str(tmp_path / "older.safetensors"), folder=tmp_path).state_dict()
    assert given.keys() == run.model.state_dict().keys()
    torch.testing.assert_close(given["encoder.2.conv.weight"], file["encoder.2.conv.weight"])
