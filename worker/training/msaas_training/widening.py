"""Weights of few channels as the beginning of a wider model (Net2Net, Chen, Goodfellow and Shlens 2016).

New channels begin at random, and old ones hear nothing of them yet. In the residual branches, whose norms see
all channels, new ones are copies of old ones, hardly changed: there the function is another, if not by much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

Weights = dict[str, torch.Tensor]
#: demucs' `dconv_depth`.
_BRANCHES = 2
_COPIES_DIFFER_BY = 0.1
#: What new channels of a branch hear of each other, as a share of what they would at the beginning.
_AMONG_NEW = 0.3


def width(weights: Weights) -> int:
    """Channels of the outermost level; 0 where it lacks."""
    return len(weights.get("encoder.0.conv.weight", ()))


def widened(old: Weights, *, own: Weights) -> Weights:
    """`old` weights in the shapes of `own`, which are those that the wider model begins with.

    Both are whole models that differ in their channels alone; `own` decides what new channels begin with.
    """
    new = {name: value.clone() for name, value in own.items()}
    levels = sum(name.startswith("encoder.") and name.endswith(".conv.weight") for name in old)
    chance = torch.Generator().manual_seed(0)
    for level in range(levels):
        widening = _Widening(old, new, width(old) * 2**level, width(own) * 2**level, chance)
        _encoder(widening, f"encoder.{level}")
        _decoder(widening, f"decoder.{levels - 1 - level}", outermost=level == 0)
    new["freq_emb.embedding.weight"][:, : width(old)] = old["freq_emb.embedding.weight"]
    new["start"][:, : old["start"].shape[1]] = old["start"]
    return new | {name: value for name, value in old.items() if name.startswith("context.")}


@dataclass(frozen=True)
class _Widening:
    """A level on its way from `few` channels to `many`."""

    old: Weights
    new: Weights
    few: int
    many: int
    chance: torch.Generator

    def convolution(self, name: str, *, outs: torch.Tensor, ins: int, inputs_lie: int = 1) -> None:
        """Old outputs, `outs` of the new ones, hear the old inputs, the first `ins`, and nothing else."""
        new, old = (each[f"{name}.weight"].transpose(1, inputs_lie) for each in (self.new, self.old))
        new[outs] = 0
        new[outs, :ins] = old
        self.new[f"{name}.bias"][outs] = self.old[f"{name}.bias"]

    def gated(self) -> torch.Tensor:
        """Where the old values and gates lie among the new ones: gates follow the values."""
        return torch.cat([torch.arange(self.few), torch.arange(self.few) + self.many])

    def copied(self, few: int, many: int) -> torch.Tensor:
        """Which old channel each new one is: the old ones, and copies of some."""
        return torch.cat([torch.arange(few), torch.randint(few, (many - few,), generator=self.chance)])

    def hardly_changed(self, weights: torch.Tensor) -> torch.Tensor:
        return weights * (1 + _COPIES_DIFFER_BY * torch.randn(weights.shape, generator=self.chance))


def _encoder(widening: _Widening, name: str) -> None:
    ins = widening.old[f"{name}.conv.weight"].shape[1]
    widening.convolution(f"{name}.conv", outs=torch.arange(widening.few), ins=ins)
    widening.convolution(f"{name}.rewrite", outs=widening.gated(), ins=widening.few)
    for branch in range(_BRANCHES):
        _branch(widening, f"{name}.dconv.layers.{branch}")


def _decoder(widening: _Widening, name: str, *, outermost: bool) -> None:
    answers = len(widening.old[f"{name}.conv_tr.bias"])
    widening.convolution(f"{name}.rewrite", outs=widening.gated(), ins=widening.few)
    outs = torch.arange(answers if outermost else widening.few // 2)
    widening.convolution(f"{name}.conv_tr", outs=outs, ins=widening.few, inputs_lie=0)


def _branch(widening: _Widening, name: str) -> None:
    """Down to hidden channels, norm, up to values and gates, norm, scale."""
    old, new = widening.old, widening.new
    hidden = widening.copied(len(old[f"{name}.0.bias"]), len(new[f"{name}.0.bias"]))
    channels = widening.copied(widening.few, widening.many)
    outs = torch.cat([channels, channels + widening.few])
    _down(widening, f"{name}.0.weight", hidden=hidden)
    _up(widening, f"{name}.3.weight", outs=outs)
    copies = {"0.bias": hidden, "1.weight": hidden, "1.bias": hidden, "3.bias": outs}
    copies |= {"4.weight": outs, "4.bias": outs, "6.scale": channels}
    new.update({f"{name}.{each}": old[f"{name}.{each}"][which] for each, which in copies.items()})


def _down(widening: _Widening, name: str, *, hidden: torch.Tensor) -> None:
    old, new = widening.old[name], widening.new[name]
    among_new = _AMONG_NEW * new[len(old) :, widening.few :]
    new.zero_()[:, : widening.few] = old[hidden]
    new[len(old) :] = widening.hardly_changed(new[len(old) :])
    new[len(old) :, widening.few :] = among_new


def _up(widening: _Widening, name: str, *, outs: torch.Tensor) -> None:
    old, new = widening.old[name], widening.new[name]
    new.zero_()[:, : old.shape[1]] = old[outs]
    copies = torch.ones(len(new), dtype=torch.bool)
    copies[widening.gated()] = False
    new[copies] = widening.hardly_changed(new[copies])
