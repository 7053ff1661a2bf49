"""The transformer of HTDemucs over tokens `[batch, tokens, channels]` of the spectrogram and the waveform."""

from typing import Any

import torch
from demucs.transformer import (
    CrossTransformerEncoderLayer,
    create_2d_sin_embedding,
    create_sin_embedding,
)
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from msaas_worker.interruption import check_interruption
from msaas_worker.separators.htdemucs.attention import Attention
from msaas_worker.separators.htdemucs.operators import Arithmetic, Dense


class Norm:
    """Layer norm over the channels of a token, computed in float32. The result has the type of products."""

    def __init__(self, norm: nn.LayerNorm, *, dtype: torch.dtype, device: torch.device) -> None:
        self._weight, self._bias = norm.weight.detach().to(device), norm.bias.detach().to(device)
        self._eps = norm.eps
        self._dtype = dtype

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self._weight, self._bias, self._eps).to(self._dtype)


class TotalNorm:
    """Norm over all tokens and channels of an item."""

    def __init__(self, norm: nn.GroupNorm, *, device: torch.device) -> None:
        self._weight, self._bias = norm.weight.detach().to(device), norm.bias.detach().to(device)
        self._eps = norm.eps

    def __call__(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x, x.shape[1:], eps=self._eps)
        return torch.addcmul(self._bias, y, self._weight)


class Layer:
    """x + attention + feed-forward. Attention is over x itself or over the other branch."""

    def __init__(self, layer: Any, *, arithmetic: Arithmetic) -> None:
        device = arithmetic.device
        norms = [Norm(norm, dtype=arithmetic.dtype, device=device) for norm in _norms(layer)]
        self._norm, self._norm_hidden = norms[0], norms[-1]
        self._norm_other = norms[1] if self.crosses(layer) else None
        attention = layer.cross_attn if self.crosses(layer) else layer.self_attn
        self._attention = Attention(attention, scale=layer.gamma_1.scale.detach(), arithmetic=arithmetic)
        self._widen = Dense(layer.linear1.weight, layer.linear1.bias, arithmetic=arithmetic)
        scale = layer.gamma_2.scale.detach()
        weight, bias = layer.linear2.weight * scale[:, None], layer.linear2.bias * scale
        self._narrow = Dense(weight, bias, arithmetic=arithmetic)
        self._norm_out = TotalNorm(layer.norm_out, device=device)

    @staticmethod
    def crosses(layer: nn.Module) -> bool:
        return isinstance(layer, CrossTransformerEncoderLayer)

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        normalised = self._norm(x)
        memory = self._norm_other(other) if self._norm_other else normalised
        x = x + self._attention(normalised, memory)
        x += self._narrow(self._widen(self._norm_hidden(x), "gelu"))
        return self._norm_out(x)


def _norms(layer: nn.Module) -> list[nn.LayerNorm]:
    names = ("norm1", "norm2", "norm3") if Layer.crosses(layer) else ("norm1", "norm2")
    return [getattr(layer, name) for name in names]


class Transformer:
    """The layers of both branches. Tokens of the spectrogram are ordered by bin."""

    def __init__(self, encoder: Any, *, bins: int, frames: int, steps: int, arithmetic: Arithmetic) -> None:
        device, size = arithmetic.device, encoder.norm_in.normalized_shape[0]
        flat = create_2d_sin_embedding(size, bins, frames, max_period=encoder.max_period)[0]
        line = create_sin_embedding(steps, size, max_period=encoder.max_period)[:, 0]
        weight = encoder.weight_pos_embed
        self._positions = (flat.flatten(1).T * weight).to(device).contiguous()
        self._positions_t = (line * weight).to(device)
        self._norm = Norm(encoder.norm_in, dtype=torch.float32, device=device)
        self._norm_t = Norm(encoder.norm_in_t, dtype=torch.float32, device=device)
        self._layers = [
            (Layer(one, arithmetic=arithmetic), Layer(two, arithmetic=arithmetic))
            for one, two in zip(encoder.layers, encoder.layers_t, strict=True)
        ]

    def __call__(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        x = self._norm(x.float()).add_(self._positions)
        xt = self._norm_t(xt.float()).add_(self._positions_t)
        for layer, layer_t in self._layers:
            check_interruption()
            x, xt = layer(x, xt), layer_t(xt, x)
        return x, xt
