"""Turns a loaded model into a function of segments, as fast as the machine and the precision allow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from msaas_worker.interruption import check_interruption
from msaas_worker.separators import Precision
from msaas_worker.separators.htdemucs import precision as precisions
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.segments import SegmentThreads

Forward = Callable[[Tensor], Tensor]
#: Returns an arithmetic that is faster than float32 on a device, None without one.
FindFaster = Callable[[torch.device], Arithmetic | None]

#: Numbers of outer levels in float32, the fastest choice first. An outer level adds more error than an inner
#: one.
_EXACT_LEVELS = (0, 1, 3, 4)


class Network(Protocol):
    """Separates segments `[batch, 2, samples]` into `[batch, stems, 2, samples]`."""

    samples: int

    def __call__(self, mixture: Tensor) -> Tensor: ...


class BuildNetwork(Protocol):
    """Builds the fast form of a model. The `exact_levels` outermost levels use float32 in any arithmetic."""

    def __call__(self, model: Any, *, arithmetic: Arithmetic, exact_levels: int = 0) -> Network: ...


@dataclass(frozen=True)
class Prepared:
    """`forward` maps segments `[batch, 2, samples]` of training length to `[batch, stems, 2, samples]`."""

    forward: Forward
    #: `plain` if the model itself runs, otherwise `float32`, `bfloat16`, or for example `bfloat16+3` with the
    #: three outermost levels in float32.
    arithmetic: str
    #: Number of segments to compute at once.
    batch: int = 1
    #: Signal-to-noise ratio of the probe against float32, if it was measured.
    snr_db: float | None = None

    def __call__(self, segments: Tensor) -> Tensor:
        return self.forward(segments)


def prepare(
    model: Any,
    build: BuildNetwork | None,
    *,
    precision: Precision = "auto",
    device: torch.device | str = "cpu",
    threads: int = 1,
    find_faster: FindFaster = precisions.find_faster,
) -> Prepared:
    """Return the fastest forward pass that is as accurate as `precision` demands.

    `build` builds the fast form of the model, which may be deleted afterwards. Without it the model itself
    runs.
    """
    device = torch.device(device)
    if build is None:
        _make_interruptible(model)
        return Prepared(torch.inference_mode()(model.eval().to(device)), "plain")
    faster = None if precision == "exact" else find_faster(device)
    floor_db = precisions.MIN_SNR_DB.get(precision, 0.0)
    prepared = _choose_network(model, build, device, faster, floor_db=floor_db)
    if device.type == "cpu" and threads > 1:
        forward = SegmentThreads(prepared.forward, threads=threads)
        return replace(prepared, forward=forward, batch=threads)
    return prepared


def _make_interruptible(model: Any) -> None:
    """Let each level of a network of demucs' interface check whether its work is wanted."""
    for levels in ("encoder", "decoder"):
        for layer in getattr(model, levels, ()):
            layer.register_forward_pre_hook(lambda *_: check_interruption())


def _choose_network(
    model: Any, build: BuildNetwork, device: torch.device, faster: Arithmetic | None, *, floor_db: float
) -> Prepared:
    network = build(model, arithmetic=precisions.float32_on(device))
    if faster is not None and (found := _find_accurate(model, build, network, faster, floor_db=floor_db)):
        return found
    return Prepared(network, "float32")


def _find_accurate(
    model: Any, build: BuildNetwork, exact: Network, arithmetic: Arithmetic, *, floor_db: float
) -> Prepared | None:
    """Return the fastest network whose probe has at least the given ratio, None if there is none."""
    mixture = precisions.probe_mixture(exact.samples, samplerate=model.samplerate).to(arithmetic.device)
    reference = exact(mixture)
    for levels in _EXACT_LEVELS:
        network = build(model, arithmetic=arithmetic, exact_levels=levels)
        estimate = network(mixture)
        if torch.equal(estimate, reference):
            # The model has no further levels: all of it is float32.
            return None
        snr_db = precisions.signal_to_noise_db(reference, estimate)
        if snr_db >= floor_db:
            name = str(arithmetic.dtype).removeprefix("torch.")
            return Prepared(network, f"{name}+{levels}" if levels else name, snr_db=snr_db)
    return None
