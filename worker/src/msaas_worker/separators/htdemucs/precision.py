"""How exactly a model is computed: in float32, or in 16 bits where that is faster and stays true to it."""

import time
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from msaas_worker.separators.htdemucs.operators import Arithmetic, Dense

Precision = Literal["auto", "exact", "fast"]

#: A song's ratio lies within this of the probe's.
_MARGIN_DB = 1.0
#: The signal-to-noise ratio against float32 that every stem of the probe must have.
TRUE_ENOUGH_DB = {"auto": 45.0 + _MARGIN_DB, "fast": 40.0 + _MARGIN_DB}
#: A processor that only emulates bfloat16 is slower with it.
_WORTHWHILE = 1.5


def exact(device: torch.device) -> Arithmetic:
    return Arithmetic(torch.float32, device, packed=device.type == "cpu" and _has_onednn())


def fast(device: torch.device) -> Arithmetic | None:
    """What is faster than float32 on this machine, if anything."""
    if device.type == "cuda":
        return Arithmetic(torch.float16, device, packed=False)
    candidate = Arithmetic(torch.bfloat16, device, packed=True)
    if device.type != "cpu" or not _has_onednn() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return candidate if _gain(candidate) >= _WORTHWHILE else None


def signal_to_noise_db(reference: Tensor, estimate: Tensor) -> float:
    """Of the worst stem, [batch, stems, 2, samples]."""
    signal = reference.double().square().sum(dim=(0, 2, 3))
    noise = (reference - estimate).double().square().sum(dim=(0, 2, 3))
    return float(10 * torch.log10(signal / noise.clamp_min(1e-30)).min())


def probe_mixture(samples: int, *, samplerate: int) -> Tensor:
    """A segment [1, 2, samples] that resembles music: struck harmonics and noise, the same every time."""
    seconds = torch.arange(samples) / samplerate
    decay = torch.exp(-6 * (seconds % 0.5))
    harmonics = [torch.sin(2 * torch.pi * 110 * n * seconds) / n for n in range(1, 30)]
    noise = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    mixture = torch.stack(harmonics).sum(0) * decay + 0.1 * noise
    return (mixture / mixture.std())[None]


def _has_onednn() -> bool:
    return torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _gain(candidate: Arithmetic) -> float:
    size = 1_024
    operand = torch.ones(size, size)
    times = [
        min(_seconds(Dense(operand, None, arithmetic=each), operand.to(each.dtype)))
        for each in (candidate.exact, candidate)
    ]
    return times[0] / times[1]


def _seconds(function: Callable[[Tensor], Tensor], operand: Tensor, *, runs: int = 5) -> Iterator[float]:
    for _ in range(runs):
        begin = time.perf_counter()
        function(operand)
        yield time.perf_counter() - begin
