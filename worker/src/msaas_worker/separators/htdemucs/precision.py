"""The choice between float32 and 16 bits: by speed on this machine and by the error of a probe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from msaas_worker.separators.htdemucs.operators import Arithmetic, Dense

#: The ratio of a song differs from that of the probe by at most this.
_MARGIN_DB = 1.0
#: Least signal-to-noise ratio of every stem of the probe against float32, by precision.
MIN_SNR_DB = {"auto": 45.0 + _MARGIN_DB, "fast": 40.0 + _MARGIN_DB}
#: Least gain in speed. A processor that emulates bfloat16 is slower with it.
_MIN_GAIN = 1.5


def float32_on(device: torch.device) -> Arithmetic:
    return Arithmetic(torch.float32, device, packed=device.type == "cpu" and _has_onednn())


def measure_gain(candidate: Arithmetic) -> float:
    """Return the speed of a product of matrices relative to float32, by the processor time of one thread.

    Processor time does not grow while other processes use the processor: the choice is the same then.
    """
    size = 1_024
    operand = torch.ones(size, size)
    with _one_thread():
        times = [
            min(_time(Dense(operand, None, arithmetic=each), operand.to(each.dtype)))
            for each in (candidate.exact, candidate)
        ]
    return times[0] / times[1]


def find_faster(
    device: torch.device, *, measure_gain: Callable[[Arithmetic], float] = measure_gain
) -> Arithmetic | None:
    """Return an arithmetic that is faster than float32 on this device, None without one."""
    if device.type == "cuda":
        return Arithmetic(torch.float16, device, packed=False)
    candidate = Arithmetic(torch.bfloat16, device, packed=True)
    if device.type != "cpu" or not _has_onednn() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return candidate if measure_gain(candidate) >= _MIN_GAIN else None


def signal_to_noise_db(reference: Tensor, estimate: Tensor) -> float:
    """Return the ratio of the worst stem of `[batch, stems, 2, samples]`, in dB."""
    signal = reference.double().square().sum(dim=(0, 2, 3))
    noise = (reference - estimate).double().square().sum(dim=(0, 2, 3))
    return float(10 * torch.log10(signal / noise.clamp_min(1e-30)).min())


def probe_mixture(samples: int, *, samplerate: int) -> Tensor:
    """Return a segment `[1, 2, samples]` like music: decaying harmonics and noise, always the same."""
    seconds = torch.arange(samples) / samplerate
    decay = torch.exp(-6 * (seconds % 0.5))
    harmonics = [torch.sin(2 * torch.pi * 110 * n * seconds) / n for n in range(1, 30)]
    noise = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    mixture = torch.stack(harmonics).sum(0) * decay + 0.1 * noise
    return (mixture / mixture.std())[None]


def _has_onednn() -> bool:
    return torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _time(function: Callable[[Tensor], Tensor], operand: Tensor, *, runs: int = 5) -> Iterator[float]:
    for _ in range(runs):
        begin = time.thread_time()
        function(operand)
        yield time.thread_time() - begin
