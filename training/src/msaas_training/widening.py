"""Widens weights to more channels (Net2Net, Chen, Goodfellow and Shlens 2016).

New channels start with random weights, and old channels have no input from them. In the residual branches new
channels are slightly changed copies, because group norm includes all channels, so the output changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

Weights = dict[str, torch.Tensor]
#: `dconv_depth` of demucs.
_BRANCHES = 2
_COPY_NOISE = 0.1
#: Initial gain between new channels of a branch.
_NEW_TO_NEW_GAIN = 0.3


def width(weights: Weights) -> int:
    """Return the number of channels of the outermost level, or 0 if it is missing."""
    return len(weights.get("encoder.0.conv.weight", ()))


def widen(old: Weights, *, own: Weights) -> Weights:
    """Return the `old` weights in the shapes of `own`, the initial weights of the wider model.

    The two models must differ in their channels only. `own` provides the initial values of the new channels.
    """
    new = {name: value.clone() for name, value in own.items()}
    levels = sum(name.startswith("encoder.") and name.endswith(".conv.weight") for name in old)
    generator = torch.Generator().manual_seed(0)
    for level in range(levels):
        widening = _Widening(
            old=old, new=new, few=width(old) * 2**level, many=width(own) * 2**level, generator=generator
        )
        _widen_encoder(widening, f"encoder.{level}")
        _widen_decoder(widening, f"decoder.{levels - 1 - level}", outermost=level == 0)
    new["freq_emb.embedding.weight"][:, : width(old)] = old["freq_emb.embedding.weight"]
    new["start"][:, : old["start"].shape[1]] = old["start"]
    return new | {name: value for name, value in old.items() if name.startswith("context.")}


@dataclass(frozen=True, kw_only=True)
class _Widening:
    """One level, widened from `few` to `many` channels."""

    old: Weights
    new: Weights
    few: int
    many: int
    generator: torch.Generator

    def copy_convolution(self, name: str, *, outs: torch.Tensor, ins: int, input_dimension: int = 1) -> None:
        """Copy the weights from old inputs to old outputs, and set those from new inputs to zero.

        `outs` are the indices of the old outputs in the new layer. Old inputs are the first `ins`.
        """
        new, old = (each[f"{name}.weight"].transpose(1, input_dimension) for each in (self.new, self.old))
        new[outs] = 0
        new[outs, :ins] = old
        self.new[f"{name}.bias"][outs] = self.old[f"{name}.bias"]

    def gated_channels(self) -> torch.Tensor:
        """Return the new indices of the old values and gates. Gates follow the values."""
        return torch.cat([torch.arange(self.few), torch.arange(self.few) + self.many])

    def draw_copies(self, few: int, many: int) -> torch.Tensor:
        """Return the source channel of each new channel: the old ones, then random copies."""
        return torch.cat([torch.arange(few), torch.randint(few, (many - few,), generator=self.generator)])

    def perturb(self, weights: torch.Tensor) -> torch.Tensor:
        return weights * (1 + _COPY_NOISE * torch.randn(weights.shape, generator=self.generator))


def _widen_encoder(widening: _Widening, name: str) -> None:
    ins = widening.old[f"{name}.conv.weight"].shape[1]
    widening.copy_convolution(f"{name}.conv", outs=torch.arange(widening.few), ins=ins)
    widening.copy_convolution(f"{name}.rewrite", outs=widening.gated_channels(), ins=widening.few)
    for branch in range(_BRANCHES):
        _widen_branch(widening, f"{name}.dconv.layers.{branch}")


def _widen_decoder(widening: _Widening, name: str, *, outermost: bool) -> None:
    answers = len(widening.old[f"{name}.conv_tr.bias"])
    widening.copy_convolution(f"{name}.rewrite", outs=widening.gated_channels(), ins=widening.few)
    outs = torch.arange(answers if outermost else widening.few // 2)
    widening.copy_convolution(f"{name}.conv_tr", outs=outs, ins=widening.few, input_dimension=0)


def _widen_branch(widening: _Widening, name: str) -> None:
    """Widen a residual branch: convolution, norm, convolution to values and gates, norm, scale."""
    old, new = widening.old, widening.new
    hidden = widening.draw_copies(len(old[f"{name}.0.bias"]), len(new[f"{name}.0.bias"]))
    channels = widening.draw_copies(widening.few, widening.many)
    outs = torch.cat([channels, channels + widening.few])
    _widen_input(widening, f"{name}.0.weight", hidden=hidden)
    _widen_output(widening, f"{name}.3.weight", outs=outs)
    copies = {"0.bias": hidden, "1.weight": hidden, "1.bias": hidden, "3.bias": outs}
    copies |= {"4.weight": outs, "4.bias": outs, "6.scale": channels}
    new.update({f"{name}.{each}": old[f"{name}.{each}"][which] for each, which in copies.items()})


def _widen_input(widening: _Widening, name: str, *, hidden: torch.Tensor) -> None:
    old, new = widening.old[name], widening.new[name]
    new_to_new = _NEW_TO_NEW_GAIN * new[len(old) :, widening.few :]
    new.zero_()[:, : widening.few] = old[hidden]
    new[len(old) :] = widening.perturb(new[len(old) :])
    new[len(old) :, widening.few :] = new_to_new


def _widen_output(widening: _Widening, name: str, *, outs: torch.Tensor) -> None:
    old, new = widening.old[name], widening.new[name]
    new.zero_()[:, : old.shape[1]] = old[outs]
    copies = torch.ones(len(new), dtype=torch.bool)
    copies[widening.gated_channels()] = False
    new[copies] = widening.perturb(new[copies])
