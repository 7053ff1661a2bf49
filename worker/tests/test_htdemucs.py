"""The fast forward pass is HTDemucs', within the gates, and any other model is run as it is."""

import pytest
import torch
from bench.random_htdemucs import SMALL, random_htdemucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import Tensor
from worker.tests.htdemucs_models import CPU, PACKED, PLAIN, random_model, snr_db

from msaas_worker.separators.htdemucs import preparation, prepare
from msaas_worker.separators.htdemucs.network import Network
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.precision import probe_mixture, signal_to_noise_db

GATE_A_DB = 90
GATE_B_DB = 45
SAMPLES = 44_100
BFLOAT16 = Arithmetic(torch.bfloat16, CPU, packed=False)


@pytest.fixture(scope="module")
def model() -> HTDemucs:
    return random_model()


@pytest.fixture(scope="module")
def mixture() -> Tensor:
    return probe_mixture(SAMPLES, samplerate=44_100)


def stock(model: torch.nn.Module, mixture: Tensor) -> Tensor:
    with torch.no_grad():
        return model(mixture)


@pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])
def test_the_network_passes_gate_a(model: HTDemucs, mixture: Tensor, arithmetic: Arithmetic) -> None:
    ours = Network(model, arithmetic=arithmetic)(mixture)
    assert signal_to_noise_db(stock(model, mixture), ours) >= GATE_A_DB


@pytest.mark.parametrize(
    "changes",
    [
        {"t_layers": 0, "bottom_channels": 0},
        {"t_layers": 0, "bottom_channels": 0, "cac": False, "wiener_iters": -1, "end_iters": -1},
        {"dconv_mode": 1},
        {"t_layers": 2, "sources": ["drums", "bass", "other", "vocals", "guitar", "piano"]},
    ],
    ids=["no transformer", "masks", "no residuals in the decoder", "six stems"],
)
def test_its_relatives_pass_gate_a(mixture: Tensor, changes: dict[str, object]) -> None:
    relative = random_model(**changes)
    prepared = prepare(relative, precision="exact")
    assert prepared.arithmetic == "float32"
    assert signal_to_noise_db(stock(relative, mixture), prepared(mixture)) >= GATE_A_DB


@pytest.mark.parametrize(
    "changes",
    [
        {"t_norm_first": False, "t_norm_out": False},
        {"t_group_norm": True},
        {"t_layers": 0},
        {"norm_starts": 2},
        {"multi_freqs": [0.5], "multi_freqs_depth": 1},
        {"depth": 5, "bottom_channels": 0, "t_layers": 0},
        {"wiener_iters": 1, "end_iters": 1, "cac": False},
        {"t_emb": "scaled"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_an_unknown_configuration_is_run_as_it_is(mixture: Tensor, changes: dict[str, object]) -> None:
    unknown = random_model(**changes)
    prepared = prepare(unknown)
    assert prepared.arithmetic == "plain"
    assert torch.equal(prepared(mixture), stock(unknown, mixture))


def test_another_class_is_run_as_it_is(mixture: Tensor) -> None:
    other = HDemucs(["a", "b"], channels=4, depth=4)
    assert prepare(other).arithmetic == "plain"


@pytest.mark.parametrize(
    "edge",
    [
        torch.zeros(1, 2, SAMPLES),
        torch.ones(1, 2, SAMPLES),
        torch.ones(1, 2, SAMPLES).cumprod(-1) * torch.tensor([1.0, -1.0]).repeat(SAMPLES // 2),
        torch.nn.functional.pad(torch.ones(1, 2, 1), (0, SAMPLES - 1)),
    ],
    ids=["silence", "constant", "full scale", "one sample"],
)
@pytest.mark.parametrize("arithmetic", [PACKED, BFLOAT16], ids=["exact", "fast"])
def test_edge_inputs_stay_finite(model: HTDemucs, edge: Tensor, arithmetic: Arithmetic) -> None:
    assert bool(Network(model, arithmetic=arithmetic)(edge).isfinite().all())


def test_a_batch_on_threads_is_its_segments_one_by_one(model: HTDemucs) -> None:
    segments = torch.randn(3, 2, SAMPLES)
    alone, threaded = prepare(model, precision="exact"), prepare(model, precision="exact", threads=2)
    assert threaded.batch == 2
    one_by_one = torch.cat([alone(segment[None]) for segment in segments])
    assert torch.equal(threaded(segments), one_by_one)
    torch.set_num_threads(1)


def test_threads_for_segments_leave_other_threads_theirs(model: HTDemucs) -> None:
    prepare(model, precision="exact", threads=3)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this processor has."""
    monkeypatch.setattr(preparation.precisions, "fast", lambda device: BFLOAT16)


@pytest.fixture(scope="module")
def quiet_model() -> HTDemucs:
    """As training begins: what is rounded in the residual branches is not heard."""
    return random_htdemucs(SMALL, seed=0)


@pytest.mark.usefixtures("bfloat16")
def test_sixteen_bits_are_taken_where_gate_b_holds(quiet_model: HTDemucs, mixture: Tensor) -> None:
    prepared = prepare(quiet_model, precision="auto")
    assert prepared.arithmetic.startswith("bfloat16")
    assert prepared.snr_db is not None
    assert prepared.snr_db >= GATE_B_DB
    assert signal_to_noise_db(stock(quiet_model, mixture), prepared(mixture)) >= GATE_B_DB


@pytest.mark.usefixtures("bfloat16")
def test_a_model_that_rounding_harms_is_computed_more_exactly(model: HTDemucs, mixture: Tensor) -> None:
    rough = Network(model, arithmetic=BFLOAT16)(mixture)
    assert signal_to_noise_db(stock(model, mixture), rough) < GATE_B_DB
    prepared = prepare(model, precision="auto")
    assert prepared.arithmetic != "bfloat16"
    assert signal_to_noise_db(stock(model, mixture), prepared(mixture)) >= GATE_B_DB


@pytest.mark.usefixtures("bfloat16")
def test_exact_is_exact_whatever_the_processor_has(quiet_model: HTDemucs) -> None:
    assert prepare(quiet_model, precision="exact").arithmetic == "float32"


def test_a_processor_that_gains_nothing_stays_exact(
    quiet_model: HTDemucs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation.precisions, "_gain", lambda candidate: 0.9)
    assert prepare(quiet_model, precision="fast").arithmetic == "float32"


def test_the_worst_stem_counts() -> None:
    reference = torch.ones(1, 2, 2, 10)
    estimate = reference.clone()
    estimate[:, 1] += 0.1
    assert signal_to_noise_db(reference, estimate) == pytest.approx(20, abs=0.01)
    assert snr_db(reference, estimate) > 20
