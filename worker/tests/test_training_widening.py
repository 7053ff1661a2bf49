"""Weights of few channels are the beginning of a wider model."""

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

from msaas_training.export import named
from msaas_training.songs import STEMS
from msaas_training.spectral import spectral_loss
from msaas_training.train import ARCHITECTURE, Plan, Run, begun
from msaas_training.widening import widened
from worker.tests.training_noise import FRAMES, with_a_silent_level

from msaas_worker.separators.starter import Starter

NARROW, WIDE = 16, 24


def starter(*, channels: int, seed: int) -> Starter:
    """Random weights, of which every layer is heard."""
    torch.manual_seed(seed)
    model = Starter(list(STEMS), **ARCHITECTURE | {"channels": channels}).eval()
    torch.nn.init.normal_(model.start)
    for layer in model.context:
        layer.last.reset_parameters()
    return model


def wider(narrow: Starter) -> Starter:
    model = starter(channels=WIDE, seed=2)
    model.load_state_dict(widened(narrow.state_dict(), own=model.state_dict()))
    return model


def scale_branches(model: Starter, *, by: float) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith(".scale"):
            torch.nn.init.constant_(parameter, by)


def answers(model: Starter, *, bins: int = 512) -> torch.Tensor:
    with torch.no_grad():
        return model.answers(torch.randn(1, 4, bins, 20, generator=torch.manual_seed(3)))


@pytest.mark.parametrize("bins", [512, 2048])
def test_without_branches_the_wider_model_is_the_same_function(bins):
    narrow = starter(channels=NARROW, seed=1)
    scale_branches(narrow, by=0.0)
    torch.testing.assert_close(
        answers(wider(narrow), bins=bins), answers(narrow, bins=bins), atol=1e-5, rtol=1e-4
    )


def test_with_branches_whose_norms_see_the_new_channels_it_is_nearly_the_same():
    narrow = starter(channels=NARROW, seed=1)
    scale_branches(narrow, by=1.0)
    before = answers(narrow)
    change = answers(wider(narrow)) - before
    assert 0 < float(change.square().mean() / before.square().mean()) < 0.01


def test_every_new_channel_learns():
    model = wider(starter(channels=NARROW, seed=1)).train()
    true = torch.randn(1, 4, 2, 512, 20, dtype=torch.complex64, generator=torch.manual_seed(4))
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    spectral_loss(model, true).backward()
    optimiser.step()
    model.zero_grad()
    spectral_loss(model, true).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if name.startswith(("encoder", "decoder"))
        and not parameter.grad.reshape(len(parameter), -1).any(1).all()
    ]
    assert not idle


def test_new_rows_of_a_branch_are_old_ones_hardly_changed():
    narrow = starter(channels=NARROW, seed=1)
    old, new = narrow.state_dict(), wider(narrow).state_dict()
    branch = "encoder.1.dconv.layers.0"
    few, many = 2 * NARROW, 2 * WIDE
    up, norm = new[f"{branch}.3.weight"], new[f"{branch}.4.weight"]
    for half in (0, 1):
        rows = old[f"{branch}.3.weight"][half * few : (half + 1) * few, :, 0]
        for each in range(half * many + few, (half + 1) * many):
            copy = up[each, : rows.shape[1], 0]
            nearest = int((rows - copy).norm(dim=1).argmin())
            assert 0 < float((rows[nearest] - copy).norm() / rows[nearest].norm()) < 0.5
            assert norm[each] == old[f"{branch}.4.weight"][half * few + nearest]


def test_training_and_export_begin_with_the_same_wider_weights(tmp_path):
    """Otherwise their mean would lie between channels that have nothing in common."""
    save_file(starter(channels=NARROW, seed=1).state_dict(), tmp_path / "narrow.safetensors")
    run = Run(Plan(1, 1, FRAMES, "cpu", 1, start=tmp_path / "narrow.safetensors"))
    given = named(str(tmp_path / "narrow.safetensors"), folder=tmp_path).state_dict()
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, given[name])


def test_narrow_weights_of_an_older_form_are_widened_too(tmp_path):
    """Four levels, the innermost silent: what passes its gate is nothing, and a constant is added."""
    four, file = with_a_silent_level(channels=NARROW)
    file |= {name: torch.zeros_like(value) for name, value in file.items() if name.endswith(".scale")}
    scale_branches(four, by=0.0)
    save_file(file, tmp_path / "four.safetensors")
    model = begun(tmp_path / "four.safetensors", seed=3).eval()
    torch.testing.assert_close(answers(model), answers(four), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        {"start": None},
        {"encoder.2.dconv.layers.1.6.scale": None},
        {"decoder.0.rewrite.bias": None},
        {"context.0.first.weight": None},
        {"tencoder.0.conv.weight": torch.zeros(1)},
        {"encoder.0.dconv.layers.0.1.weight": torch.zeros(1)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_narrow_weights_of_another_model_are_refused(tmp_path, other):
    weights = starter(channels=NARROW, seed=1).state_dict() | other
    save_file({n: v for n, v in weights.items() if v is not None}, tmp_path / "narrow.safetensors")
    with pytest.raises(ValueError, match="another model"):
        begun(tmp_path / "narrow.safetensors", seed=3)


def test_a_wider_model_is_not_made_narrower(tmp_path):
    wide = starter(channels=ARCHITECTURE["channels"] + 8, seed=1)
    save_file(wide.state_dict(), tmp_path / "wide.safetensors")
    with pytest.raises(ValueError, match="another model"):
        begun(tmp_path / "wide.safetensors", seed=3)
