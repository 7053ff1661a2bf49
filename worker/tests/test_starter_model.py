"""The starter's model: shares of a mixture that add up to it, and the forward pass that serves them."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from demucs.demucs import LayerScale
from safetensors.torch import save_file
from torch import Tensor
from worker.tests.htdemucs_models import CPU, PACKED, PLAIN, randomised

from msaas_worker.separators.htdemucs import prepare
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.precision import probe_mixture, signal_to_noise_db
from msaas_worker.separators.htdemucs.sharing import SharingNetwork
from msaas_worker.separators.starter import Starter, pitches
from msaas_worker.separators.starter.model import by_frames, raised, views
from msaas_worker.separators.starter.wiener import parts
from msaas_worker.separators.weights import read_model

GATE_A_DB = 90
STEMS = ["drums", "bass", "other", "vocals"]
SMALL = {"channels": 8, "depth": 3, "dconv_comp": 4, "dconv_init": 0.1, "segment": Fraction(1)}
SAMPLES = 44_100
BFLOAT16 = Arithmetic(torch.bfloat16, CPU, packed=False)


@pytest.fixture(scope="module")
def model() -> Starter:
    """A small one with random weights, its residual branches, context and start at full strength."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        starter = randomised(Starter(STEMS, **SMALL))
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


def stock(model: Starter, mixture: Tensor) -> Tensor:
    with torch.no_grad():
        stems: Tensor = model(mixture)
    return stems


def spectra(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])
def test_the_fast_forward_pass_is_the_model_itself(
    model: Starter, mixture: Tensor, arithmetic: Arithmetic
) -> None:
    ours = SharingNetwork(model, arithmetic=arithmetic)(mixture)
    assert signal_to_noise_db(stock(model, mixture), ours) >= GATE_A_DB


@pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])
def test_segments_that_come_together_are_each_the_model_itself(
    model: Starter, mixture: Tensor, arithmetic: Arithmetic
) -> None:
    segments = torch.cat([mixture, mixture.flip(-1)])
    ours = SharingNetwork(model, arithmetic=arithmetic)(segments)
    for ours_alone, stems in zip(ours, stock(model, segments), strict=True):
        assert signal_to_noise_db(stems[None], ours_alone[None]) >= GATE_A_DB


def test_sixteen_bits_are_true_to_it(model: Starter, mixture: Tensor) -> None:
    ours = SharingNetwork(model, arithmetic=BFLOAT16, exact_levels=1)(mixture)
    assert signal_to_noise_db(stock(model, mixture), ours) >= 30


def test_a_form_that_the_fast_forward_pass_does_not_know_is_run_as_it_is(mixture: Tensor) -> None:
    other = Starter(STEMS, **SMALL).eval()
    other.use_train_segment = False
    prepared = prepare(other)
    assert prepared.arithmetic == "plain"
    assert torch.equal(prepared(mixture), stock(other, mixture))


def test_it_is_served_by_the_fast_forward_pass(model: Starter, mixture: Tensor) -> None:
    prepared = prepare(model, precision="exact")
    assert prepared.arithmetic == "float32"
    assert signal_to_noise_db(stock(model, mixture), prepared(mixture)) >= GATE_A_DB


@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES - 777, 5000])
def test_the_stems_add_up_to_the_mixture(model: Starter, samples: int) -> None:
    mixtures = 0.1 * torch.randn(2, 2, samples, generator=torch.manual_seed(1))
    torch.testing.assert_close(stock(model, mixtures).sum(1), mixtures, rtol=0, atol=1e-6)


def test_what_is_spread_evenly_is_next_to_nothing(model: Starter, mixture: Tensor) -> None:
    with torch.no_grad():
        spectra = by_frames(model._spec(mixture))
        parted = parts(by_frames(model.shares(model._spec(mixture))), mixtures=spectra)
    left_over = (spectra - parted.sum(1)).abs().square().sum() / spectra.abs().square().sum()
    assert float(left_over) < 1e-4


def test_the_stems_of_the_fast_forward_pass_add_up_to_the_mixture(model: Starter, mixture: Tensor) -> None:
    torch.testing.assert_close(prepare(model)(mixture).sum(1), mixture, rtol=0, atol=1e-5)


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
    assert bool(SharingNetwork(model, arithmetic=arithmetic)(edge).isfinite().all())


def reach(model: Starter, *, level: int, row: int) -> tuple[Tensor, Tensor]:
    """How much a change of one row in the middle of 201 frames changes the context: by rows, by frames."""
    channels, rows = model.encoder[level].conv.out_channels, model.context[level].rows
    x = torch.randn(1, channels, rows + 3, 201, generator=torch.manual_seed(7))
    changed = x.clone()
    changed[:, :, row, 100] += 1
    with torch.no_grad():
        difference = model.context.of(changed, level=level) - model.context.of(x, level=level)
    return difference.abs().sum((0, 1, 3)), difference.abs().sum((0, 1, 2))


@pytest.mark.parametrize("level", range(3))
def test_context_across_rows_reaches_every_low_row_of_its_frame(model: Starter, level: int) -> None:
    rows, frames = reach(model, level=level, row=0)
    assert rows.shape == (512 // 4 ** (level + 1),)
    assert bool((rows > 0).all())
    assert torch.equal(frames.nonzero().flatten(), torch.tensor([100]))


@pytest.mark.parametrize("level", range(3))
def test_context_does_not_see_the_upper_rows(model: Starter, level: int) -> None:
    rows, _ = reach(model, level=level, row=model.context[level].rows)
    assert float(rows.sum()) == 0


@pytest.mark.parametrize("level", range(3))
def test_a_new_model_adds_no_context(level: int) -> None:
    x = torch.randn(1, 8 * 2**level, 130, 9, generator=torch.manual_seed(8))
    assert not Starter(STEMS, **SMALL).context.of(x, level=level).any()


def test_context_is_added_to_the_lowest_rows() -> None:
    x, context = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 2, 4)
    assert raised(x, by=context)[0, 0, :, 0].tolist() == [2, 2, 1]


def test_shares_are_parts_of_one(model: Starter) -> None:
    with torch.no_grad():
        shares = model.shares(spectra(1, 2, 2048, 20, seed=2))
    assert shares.shape == (1, 4, 2, 2048, 20)
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 2, 2048, 20))
    assert float(shares.min()) >= 0


def test_what_it_sees_does_not_depend_on_the_loudness() -> None:
    mixtures = spectra(2, 2, 64, 9, seed=3)
    torch.testing.assert_close(views(1000 * mixtures, side=1), views(mixtures, side=1))


def test_what_it_sees_tells_what_is_in_the_middle_from_what_is_wide() -> None:
    sides = spectra(1, 1, 64, 9, seed=4).expand(1, 2, 64, 9)
    middle = views(sides, side=1)[0]
    wide = views(sides * torch.tensor([1, -1])[None, :, None, None], side=1)[0]
    torch.testing.assert_close(middle[:2], wide[:2])
    torch.testing.assert_close(middle[2], wide[3])
    assert float(middle[2].min()) > float(middle[3].max())


def test_upper_bins_that_are_left_out_count_as_silent_in_the_level() -> None:
    whole = torch.cat([spectra(1, 2, 16, 9, seed=5), torch.zeros(1, 2, 48, 9)], dim=2)
    lower = views(whole[:, :, :16], side=1, kept=0.25)
    torch.testing.assert_close(lower, views(whole, side=1)[:, :, :16])


def test_low_bins_are_heard_three_times_and_the_rest_once() -> None:
    """Answers that rise by one from hearing to hearing tell how often a bin was heard."""
    heard: list[int] = []

    def answers_of(maps: Tensor) -> Tensor:
        heard.append(maps.shape[2])
        return torch.full_like(maps, len(heard))

    answers = pitches.averaged(answers_of, torch.zeros(1, 4, 2048, 3), bins=2)[0, 0, :, 0]
    assert heard == [2048, 512, 512]
    torch.testing.assert_close(answers[:362], torch.full((362,), 2.0))
    torch.testing.assert_close(answers[362:456], torch.full((94,), 1.5))
    torch.testing.assert_close(answers[456:], torch.full((1592,), 1.0))


@pytest.mark.parametrize("bin_", [20, 101, 340])
def test_what_is_heard_at_another_pitch_is_told_of_its_own_bin(bin_: int) -> None:
    maps = torch.zeros(1, 4, 2048, 3)
    maps[:, :, bin_] = 1
    seen: list[int] = []

    def answers_of(heard: Tensor) -> Tensor:
        seen.append(int(heard[0, 0, :, 0].argmax()))
        return heard.clone()

    answers = pitches.averaged(answers_of, maps, bins=2)
    assert seen[1:] == [pytest.approx(1.12 * bin_, abs=1), pytest.approx(1.41 * bin_, abs=1)]
    torch.testing.assert_close(answers, maps)


def test_its_weights_are_read_by_their_class_name(model: Starter, tmp_path: Path) -> None:
    metadata = {
        "klass": "msaas_worker.separators.starter.model.Starter",
        "args": "[]",
        "kwargs": json.dumps({"sources": STEMS, **SMALL, "segment": 1}),
    }
    save_file(model.state_dict(), tmp_path / "starter.safetensors", metadata)
    loaded = read_model(tmp_path / "starter.safetensors")
    assert type(loaded) is Starter
    assert loaded.sources == STEMS
