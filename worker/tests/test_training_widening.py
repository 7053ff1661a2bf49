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

from msaas_training.songs import STEMS
from msaas_training.spectral import spectral_loss
from msaas_training.train import ARCHITECTURE, begin_with
from msaas_training.widening import widened

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


@pytest.mark.parametrize("lacking", ["start", "encoder.2.dconv.layers.1.6.scale", "decoder.0.rewrite.bias"])
def test_narrow_weights_that_lack_a_layer_are_refused(tmp_path, lacking):
    weights = starter(channels=NARROW, seed=1).state_dict()
    del weights[lacking]
    save_file(weights, tmp_path / "narrow.safetensors")
    with pytest.raises(ValueError, match="another model"):
        begin_with(tmp_path / "narrow.safetensors", model=starter(channels=WIDE, seed=2))
