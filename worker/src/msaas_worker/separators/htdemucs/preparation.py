"""A loaded model becomes a function of segments, as fast as this machine and the wanted precision allow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from msaas_worker.separators.htdemucs import precision as precisions
from msaas_worker.separators.htdemucs.network import Network
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.precision import Precision
from msaas_worker.separators.htdemucs.segments import SegmentThreads
from msaas_worker.separators.htdemucs.sharing import SharingNetwork
from msaas_worker.separators.htdemucs.support import is_known
from msaas_worker.separators.starter import Starter

Forward = Callable[[Tensor], Tensor]

#: Levels kept in float32, the cheapest choice first: each is heard less than the one outside it.
_EXACT_LEVELS = (0, 1, 3, 4)


@dataclass(frozen=True)
class Prepared:
    """`forward` maps segments [batch, 2, samples] of the training length to [batch, stems, 2, samples]."""

    forward: Forward
    #: `plain` is the model itself; else what it is computed in: `float32`, `bfloat16`, or `bfloat16+3` with
    #: the three outermost levels in float32.
    arithmetic: str
    #: Segments to give it at once.
    batch: int = 1
    #: Against float32 on this machine, where that was measured.
    snr_db: float | None = None

    def __call__(self, segments: Tensor) -> Tensor:
        return self.forward(segments)


def prepare(
    model: Any,
    *,
    precision: Precision = "auto",
    device: torch.device | str = "cpu",
    threads: int = 1,
) -> Prepared:
    """Return the fastest forward pass that is as true as `precision` asks; the model can be dropped then."""
    device = torch.device(device)
    if not is_known(model):
        return Prepared(torch.inference_mode()(model.eval().to(device)), "plain")
    network = _network_of(model, arithmetic=precisions.exact(device))
    chosen = Prepared(network, "float32")
    faster = None if precision == "exact" else precisions.fast(device)
    if faster:
        chosen = (
            _fastest_true_enough(model, network, faster, floor_db=precisions.TRUE_ENOUGH_DB[precision])
            or chosen
        )
    if device.type == "cpu" and threads > 1:
        return replace(chosen, forward=SegmentThreads(chosen.forward, threads=threads), batch=threads)
    return chosen


def _network_of(model: Any, *, arithmetic: Arithmetic, exact_levels: int = 0) -> Network | SharingNetwork:
    kind = SharingNetwork if isinstance(model, Starter) else Network
    return kind(model, arithmetic=arithmetic, exact_levels=exact_levels)


def _fastest_true_enough(
    model: Any, exact: Network | SharingNetwork, arithmetic: Arithmetic, *, floor_db: float
) -> Prepared | None:
    mixture = precisions.probe_mixture(exact.samples, samplerate=model.samplerate).to(arithmetic.device)
    reference = exact(mixture)
    for levels in _EXACT_LEVELS:
        network = _network_of(model, arithmetic=arithmetic, exact_levels=levels)
        snr_db = precisions.signal_to_noise_db(reference, network(mixture))
        if snr_db >= floor_db:
            name = str(arithmetic.dtype).removeprefix("torch.")
            return Prepared(network, f"{name}+{levels}" if levels else name, snr_db=snr_db)
    return None
