"""The fast forward pass computes HTDemucs within the gates A and B. Other models run unchanged."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from bench.random_htdemucs import SMALL, random_htdemucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import Tensor
from worker.tests.htdemucs_models import CPU, PACKED, PLAIN, random_model, snr_db

from msaas_worker.separators.devices import usable_cores
from msaas_worker.separators.htdemucs import Prepared, prepare
from msaas_worker.separators.htdemucs.network import HTDemucsNetwork
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.precision import (
    find_faster,
    measure_gain,
    probe_mixture,
    signal_to_noise_db,
)
from msaas_worker.separators.htdemucs.segments import SegmentThreads
from msaas_worker.separators.htdemucs.support import htdemucs_network

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


def run_model(model: torch.nn.Module, mixture: Tensor) -> Tensor:
    with torch.no_grad():
        return model(mixture)


def prepare_htdemucs(model: torch.nn.Module, **settings: Any) -> Prepared:
    return prepare(model, htdemucs_network(model), **settings)


@pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])
def test_network_passes_gate_a(model: HTDemucs, mixture: Tensor, arithmetic: Arithmetic) -> None:
    ours = HTDemucsNetwork(model, arithmetic=arithmetic)(mixture)
    assert signal_to_noise_db(run_model(model, mixture), ours) >= GATE_A_DB


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
def test_other_configurations_pass_gate_a(mixture: Tensor, changes: dict[str, object]) -> None:
    model = random_model(**changes)
    prepared = prepare_htdemucs(model, precision="exact")
    assert prepared.arithmetic == "float32"
    assert signal_to_noise_db(run_model(model, mixture), prepared(mixture)) >= GATE_A_DB


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
def test_unsupported_configuration_runs_the_model_itself(mixture: Tensor, changes: dict[str, object]) -> None:
    model = random_model(**changes)
    prepared = prepare_htdemucs(model)
    assert prepared.arithmetic == "plain"
    assert torch.equal(prepared(mixture), run_model(model, mixture))


def test_another_class_runs_the_model_itself() -> None:
    other = HDemucs(["a", "b"], channels=4, depth=4)
    assert prepare_htdemucs(other).arithmetic == "plain"


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
    assert bool(HTDemucsNetwork(model, arithmetic=arithmetic)(edge).isfinite().all())


@pytest.mark.slow
def test_batch_on_threads_equals_its_segments_one_by_one(model: HTDemucs) -> None:
    segments = torch.randn(3, 2, SAMPLES)
    alone, threaded = (
        prepare_htdemucs(model, precision="exact"),
        prepare_htdemucs(model, precision="exact", threads=2),
    )
    assert threaded.batch == 2
    torch.set_num_threads(1)
    one_by_one = torch.cat([alone(segment[None]) for segment in segments])
    assert torch.equal(threaded(segments), one_by_one)


def test_each_thread_computes_its_segment_alone() -> None:
    def forward(segment: Tensor) -> Tensor:
        product = segment @ segment
        return torch.full_like(product, torch.get_num_threads())

    assert SegmentThreads(forward, threads=3)(torch.ones(3, 2, 2)).eq(1).all()
    torch.set_num_threads(1)


def test_threads_for_segments_do_not_change_other_threads(model: HTDemucs) -> None:
    prepare_htdemucs(model, precision="exact", threads=3)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)


def offer_bfloat16(device: torch.device) -> Arithmetic:
    """Offers bfloat16 on every processor."""
    return BFLOAT16


@pytest.fixture(scope="module")
def quiet_model() -> HTDemucs:
    """Weights before training: the residual branches have little effect, and so has their rounding."""
    return random_htdemucs(SMALL, seed=0)


@pytest.mark.slow
def test_bfloat16_is_used_if_it_passes_gate_b(quiet_model: HTDemucs, mixture: Tensor) -> None:
    prepared = prepare_htdemucs(quiet_model, precision="auto", find_faster=offer_bfloat16)
    assert prepared.arithmetic.startswith("bfloat16")
    assert prepared.snr_db is not None
    assert prepared.snr_db >= GATE_B_DB
    assert signal_to_noise_db(run_model(quiet_model, mixture), prepared(mixture)) >= GATE_B_DB


@pytest.mark.slow
def test_more_levels_are_float32_if_bfloat16_fails_gate_b(model: HTDemucs, mixture: Tensor) -> None:
    rough = HTDemucsNetwork(model, arithmetic=BFLOAT16)(mixture)
    assert signal_to_noise_db(run_model(model, mixture), rough) < GATE_B_DB
    prepared = prepare_htdemucs(model, precision="auto", find_faster=offer_bfloat16)
    assert prepared.arithmetic != "bfloat16"
    assert signal_to_noise_db(run_model(model, mixture), prepared(mixture)) >= GATE_B_DB


def test_exact_is_float32_on_every_processor(quiet_model: HTDemucs) -> None:
    prepared = prepare_htdemucs(quiet_model, precision="exact", find_faster=offer_bfloat16)
    assert prepared.arithmetic == "float32"


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="needs bfloat16 of oneDNN")
@pytest.mark.parametrize(("gain", "dtype"), [(0.9, None), (1.6, torch.bfloat16)])
def test_bfloat16_is_offered_with_a_gain_only(gain: float, dtype: torch.dtype | None) -> None:
    found = find_faster(CPU, measure_gain=lambda candidate: gain)
    assert (found.dtype if found else None) is dtype


@pytest.mark.process
@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="needs bfloat16 of oneDNN")
def test_gain_is_the_same_while_other_processes_work(busy_processor: None) -> None:
    gains = [measure_gain(Arithmetic(torch.bfloat16, CPU, packed=True)) for _ in range(10)]
    assert max(gains) / min(gains) <= 1.4, gains


@pytest.fixture
def busy_processor() -> Iterator[None]:
    """Give each core a process that never waits, and one more."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(usable_cores() + 1)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def test_ratio_is_that_of_the_worst_stem() -> None:
    reference = torch.ones(1, 2, 2, 10)
    estimate = reference.clone()
    estimate[:, 1] += 0.1
    assert signal_to_noise_db(reference, estimate) == pytest.approx(20, abs=0.01)
    assert snr_db(reference, estimate) > 20
