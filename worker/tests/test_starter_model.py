"""The network of the starter: masks, stems that add up to the mixture, and the fast forward pass."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from demucs.demucs import LayerScale
from safetensors.torch import save_file
from torch import Tensor
from worker.tests.htdemucs_models import CPU, PACKED, PLAIN, randomise_norms

from msaas_worker.separators.htdemucs import prepare
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.precision import probe_mixture, signal_to_noise_db
from msaas_worker.separators.starter import Starter
from msaas_worker.separators.starter.augmentation import average_over_shifts
from msaas_worker.separators.starter.loader import WEIGHTS
from msaas_worker.separators.starter.model import add_to_low_rows, make_maps, swap_bins_and_frames
from msaas_worker.separators.starter.network import StarterNetwork, starter_network
from msaas_worker.separators.starter.wiener import apply_masks
from msaas_worker.separators.weights import read_network

GATE_A_DB = 90
STEMS = ["drums", "bass", "other", "vocals"]
SMALL = {"channels": 8, "depth": 3, "dconv_comp": 4, "dconv_init": 0.1, "segment": Fraction(1)}
SAMPLES = 44_100
BFLOAT16 = Arithmetic(torch.bfloat16, CPU, packed=False)


@pytest.fixture(scope="module")
def model() -> Starter:
    """A small model with random weights in residual branches, context and start, too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        starter = randomise_norms(Starter(STEMS, **SMALL))
        for module in starter.modules():
            if isinstance(module, LayerScale):
                torch.nn.init.uniform_(module.scale, 0.1, 0.5)
        for layer in starter.context:
            layer.last.reset_parameters()
        torch.nn.init.uniform_(starter.start)
    return starter.eval()


@pytest.fixture(scope="module")
def mixture() -> Tensor:
    return probe_mixture(SAMPLES, samplerate=44_100)


def run_model(model: Starter, mixture: Tensor) -> Tensor:
    with torch.no_grad():
        stems: Tensor = model(mixture)
    return stems


def spectra(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])
def test_fast_forward_pass_computes_the_model(
    model: Starter, mixture: Tensor, arithmetic: Arithmetic
) -> None:
    ours = StarterNetwork(model, arithmetic=arithmetic)(mixture)
    assert signal_to_noise_db(run_model(model, mixture), ours) >= GATE_A_DB


@pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])
def test_fast_forward_pass_computes_each_segment_of_a_batch(
    model: Starter, mixture: Tensor, arithmetic: Arithmetic
) -> None:
    segments = torch.cat([mixture, mixture.flip(-1)])
    ours = StarterNetwork(model, arithmetic=arithmetic)(segments)
    for ours_alone, stems in zip(ours, run_model(model, segments), strict=True):
        assert signal_to_noise_db(stems[None], ours_alone[None]) >= GATE_A_DB


def test_bfloat16_is_close_to_the_model(model: Starter, mixture: Tensor) -> None:
    ours = StarterNetwork(model, arithmetic=BFLOAT16, exact_levels=1)(mixture)
    assert signal_to_noise_db(run_model(model, mixture), ours) >= 30


def test_unsupported_configuration_runs_the_model_itself(mixture: Tensor) -> None:
    other = Starter(STEMS, **SMALL).eval()
    other.use_train_segment = False
    prepared = prepare(other, starter_network(other))
    assert prepared.arithmetic == "plain"
    assert torch.equal(prepared(mixture), run_model(other, mixture))


def test_starter_runs_in_the_fast_forward_pass(model: Starter, mixture: Tensor) -> None:
    prepared = prepare(model, starter_network(model), precision="exact")
    assert prepared.arithmetic == "float32"
    assert signal_to_noise_db(run_model(model, mixture), prepared(mixture)) >= GATE_A_DB


@pytest.mark.slow
@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="needs bfloat16 of oneDNN")
def test_float32_is_named_if_every_level_needs_it() -> None:
    starter = read_network(WEIGHTS, classes=(Starter,))
    bfloat16 = Arithmetic(torch.bfloat16, CPU, packed=True)
    prepared = prepare(starter, starter_network(starter), find_faster=lambda device: bfloat16)
    assert prepared.arithmetic == "float32"
    assert prepared.snr_db is None


@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES - 777, 5000])
def test_stems_add_up_to_the_mixture(model: Starter, samples: int) -> None:
    mixtures = 0.1 * torch.randn(2, 2, samples, generator=torch.manual_seed(1))
    torch.testing.assert_close(run_model(model, mixtures).sum(1), mixtures, rtol=0, atol=1e-6)


def test_residual_of_the_masks_is_below_40_db(model: Starter, mixture: Tensor) -> None:
    with torch.no_grad():
        spectra = swap_bins_and_frames(model._spec(mixture))
        masks = swap_bins_and_frames(model.masks(model._spec(mixture)))
        stems = apply_masks(masks, mixtures=spectra)
    residual = (spectra - stems.sum(1)).abs().square().sum() / spectra.abs().square().sum()
    assert float(residual) < 1e-4


def test_stems_of_the_fast_forward_pass_add_up_to_the_mixture(model: Starter, mixture: Tensor) -> None:
    torch.testing.assert_close(
        prepare(model, starter_network(model))(mixture).sum(1), mixture, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "edge",
    [
        torch.zeros(1, 2, SAMPLES),
        torch.ones(1, 2, SAMPLES),
        torch.ones(1, 2, SAMPLES) * torch.tensor([1.0, -1.0])[None, :, None],
        torch.nn.functional.pad(torch.ones(1, 2, 1), (0, SAMPLES - 1)),
    ],
    ids=["silence", "constant", "opposite sides", "one sample"],
)
@pytest.mark.parametrize("arithmetic", [PACKED, BFLOAT16], ids=["exact", "fast"])
def test_edge_inputs_stay_finite(model: Starter, edge: Tensor, arithmetic: Arithmetic) -> None:
    assert bool(StarterNetwork(model, arithmetic=arithmetic)(edge).isfinite().all())


def measure_reach(model: Starter, *, level: int, row: int) -> tuple[Tensor, Tensor]:
    """Change one row in the middle of 201 frames. Return the change of the context by rows and by frames."""
    channels, rows = model.encoder[level].conv.out_channels, model.context[level].rows
    x = torch.randn(1, channels, rows + 3, 201, generator=torch.manual_seed(7))
    changed = x.clone()
    changed[:, :, row, 100] += 1
    with torch.no_grad():
        difference = model.context.of(changed, level=level) - model.context.of(x, level=level)
    return difference.abs().sum((0, 1, 3)), difference.abs().sum((0, 1, 2))


@pytest.mark.parametrize("level", range(3))
def test_context_reaches_every_low_row_of_its_frame(model: Starter, level: int) -> None:
    rows, frames = measure_reach(model, level=level, row=0)
    assert rows.shape == (512 // 4 ** (level + 1),)
    assert bool((rows > 0).all())
    assert torch.equal(frames.nonzero().flatten(), torch.tensor([100]))


@pytest.mark.parametrize("level", range(3))
def test_context_does_not_depend_on_upper_rows(model: Starter, level: int) -> None:
    rows, _ = measure_reach(model, level=level, row=model.context[level].rows)
    assert float(rows.sum()) == 0


@pytest.mark.parametrize("level", range(3))
def test_context_is_zero_before_training(level: int) -> None:
    x = torch.randn(1, 8 * 2**level, 130, 9, generator=torch.manual_seed(8))
    assert not Starter(STEMS, **SMALL).context.of(x, level=level).any()


def test_context_is_added_to_low_rows() -> None:
    x, context = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 2, 4)
    assert add_to_low_rows(x, context)[0, 0, :, 0].tolist() == [2, 2, 1]


def test_masks_sum_to_1_over_the_stems(model: Starter) -> None:
    with torch.no_grad():
        masks = model.masks(spectra(1, 2, 2048, 20, seed=2))
    assert masks.shape == (1, 4, 2, 2048, 20)
    torch.testing.assert_close(masks.sum(1), torch.ones(1, 2, 2048, 20))
    assert float(masks.min()) >= 0


def test_maps_do_not_depend_on_the_level() -> None:
    mixtures = spectra(2, 2, 64, 9, seed=3)
    torch.testing.assert_close(make_maps(1000 * mixtures, side=1), make_maps(mixtures, side=1))


def test_maps_distinguish_mid_from_side() -> None:
    sides = spectra(1, 1, 64, 9, seed=4).expand(1, 2, 64, 9)
    middle = make_maps(sides, side=1)[0]
    wide = make_maps(sides * torch.tensor([1, -1])[None, :, None, None], side=1)[0]
    torch.testing.assert_close(middle[:2], wide[:2])
    torch.testing.assert_close(middle[2], wide[3])
    assert float(middle[2].min()) > float(middle[3].max())


def test_upper_bins_that_are_left_out_count_as_silent() -> None:
    whole = torch.cat([spectra(1, 2, 16, 9, seed=5), torch.zeros(1, 2, 48, 9)], dim=2)
    lower = make_maps(whole[:, :, :16], side=1, kept=0.25)
    torch.testing.assert_close(lower, make_maps(whole, side=1)[:, :, :16])


def test_low_bins_are_averaged_over_three_shifts() -> None:
    """The logits of call `n` are `n`, so the mean shows how many shifts a bin is averaged over."""
    bins: list[int] = []

    def logits_of(maps: Tensor) -> Tensor:
        bins.append(maps.shape[2])
        return torch.full_like(maps, len(bins))

    logits = average_over_shifts(logits_of, torch.zeros(1, 4, 2048, 3), bins=2)[0, 0, :, 0]
    assert bins == [2048, 512, 512]
    torch.testing.assert_close(logits[:362], torch.full((362,), 2.0))
    torch.testing.assert_close(logits[362:456], torch.full((94,), 1.5))
    torch.testing.assert_close(logits[456:], torch.full((1592,), 1.0))


@pytest.mark.parametrize("bin_", [20, 101, 340])
def test_logits_of_shifted_bins_are_shifted_back(bin_: int) -> None:
    maps = torch.zeros(1, 4, 2048, 3)
    maps[:, :, bin_] = 1
    peaks: list[int] = []

    def logits_of(shifted: Tensor) -> Tensor:
        peaks.append(int(shifted[0, 0, :, 0].argmax()))
        return shifted.clone()

    logits = average_over_shifts(logits_of, maps, bins=2)
    assert peaks[1:] == [pytest.approx(1.12 * bin_, abs=1), pytest.approx(1.41 * bin_, abs=1)]
    torch.testing.assert_close(logits, maps)


def test_weights_name_the_class_of_the_starter(model: Starter, tmp_path: Path) -> None:
    metadata = {
        "klass": "msaas_worker.separators.starter.model.Starter",
        "args": "[]",
        "kwargs": json.dumps({"sources": STEMS, **SMALL, "segment": 1}),
    }
    save_file(model.state_dict(), tmp_path / "starter.safetensors", metadata)
    loaded = read_network(tmp_path / "starter.safetensors", classes=(Starter,))
    assert type(loaded) is Starter
    assert loaded.sources == STEMS
