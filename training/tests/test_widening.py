"""Widening: weights with few channels initialise a wider model."""

import pytest
import torch
from safetensors.torch import save_file
from training.tests.support import legacy_weights, new_plan

from msaas_training.export import load_model
from msaas_training.loss import spectral_loss
from msaas_training.songs import STEMS
from msaas_training.train import ARCHITECTURE, Run, build_model
from msaas_training.widening import widen
from msaas_worker.separators.starter import Starter

NARROW, WIDE = 16, 24


def starter(*, channels: int, seed: int) -> Starter:
    """Return random weights in which every layer has an effect."""
    torch.manual_seed(seed)
    model = Starter(list(STEMS), **ARCHITECTURE | {"channels": channels}).eval()
    torch.nn.init.normal_(model.start)
    for layer in model.context:
        layer.last.reset_parameters()
    return model


def widen_starter(narrow: Starter) -> Starter:
    model = starter(channels=WIDE, seed=2)
    model.load_state_dict(widen(narrow.state_dict(), own=model.state_dict()))
    return model


def scale_branches(model: Starter, *, by: float) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith(".scale"):
            torch.nn.init.constant_(parameter, by)


def mask_logits(model: Starter, *, bins: int = 512) -> torch.Tensor:
    with torch.no_grad():
        return model.mask_logits(torch.randn(1, 4, bins, 20, generator=torch.manual_seed(3)))


@pytest.mark.parametrize("bins", [512, 2048])
def test_widening_keeps_the_function_without_residual_branches(bins):
    narrow = starter(channels=NARROW, seed=1)
    scale_branches(narrow, by=0.0)
    torch.testing.assert_close(
        mask_logits(widen_starter(narrow), bins=bins), mask_logits(narrow, bins=bins), atol=1e-5, rtol=1e-4
    )


def test_widening_changes_the_function_slightly_with_residual_branches():
    narrow = starter(channels=NARROW, seed=1)
    scale_branches(narrow, by=1.0)
    before = mask_logits(narrow)
    change = mask_logits(widen_starter(narrow)) - before
    assert 0 < float(change.square().mean() / before.square().mean()) < 0.01


def test_every_new_channel_has_a_gradient():
    model = widen_starter(starter(channels=NARROW, seed=1)).train()
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


def test_new_branch_channels_are_slightly_changed_copies():
    narrow = starter(channels=NARROW, seed=1)
    old, new = narrow.state_dict(), widen_starter(narrow).state_dict()
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


def test_training_and_export_widen_weights_equally(tmp_path):
    """A mean of the two would otherwise mix unrelated channels."""
    save_file(starter(channels=NARROW, seed=1).state_dict(), tmp_path / "narrow.safetensors")
    run = Run(new_plan(start=tmp_path / "narrow.safetensors"))
    loaded = load_model(str(tmp_path / "narrow.safetensors"), folder=tmp_path).state_dict()
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, loaded[name])


def test_legacy_weights_are_widened(tmp_path):
    """The silent fourth level becomes a constant."""
    four, file = legacy_weights(channels=NARROW)
    file |= {name: torch.zeros_like(value) for name, value in file.items() if name.endswith(".scale")}
    scale_branches(four, by=0.0)
    save_file(file, tmp_path / "four.safetensors")
    model = build_model(tmp_path / "four.safetensors", seed=3).eval()
    torch.testing.assert_close(mask_logits(model), mask_logits(four), atol=1e-5, rtol=1e-4)


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
def test_narrow_weights_of_another_architecture_are_refused(tmp_path, other):
    weights = starter(channels=NARROW, seed=1).state_dict() | other
    save_file({n: v for n, v in weights.items() if v is not None}, tmp_path / "narrow.safetensors")
    with pytest.raises(ValueError, match="another architecture"):
        build_model(tmp_path / "narrow.safetensors", seed=3)


def test_wider_weights_are_refused(tmp_path):
    wide = starter(channels=ARCHITECTURE["channels"] + 8, seed=1)
    save_file(wide.state_dict(), tmp_path / "wide.safetensors")
    with pytest.raises(ValueError, match="another architecture"):
        build_model(tmp_path / "wide.safetensors", seed=3)
