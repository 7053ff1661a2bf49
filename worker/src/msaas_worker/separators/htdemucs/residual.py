"""The residual branch of demucs (DConv), with its second norm folded into the product before it."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from msaas_worker.separators.htdemucs.operators import Arithmetic, Convolution, Dense


class ResidualBranch:
    """x += scale · GLU(norm(1×1(GELU(norm(conv(x)))))), in place, x: `[rows, width, channels]`.

    Norms are over (width, channels) of a row. The second norm would be over 16 times as many values as the
    hidden ones, so it is not computed. Mean and variance of a linear map follow from mean and covariance of
    its input, and a scaled input with two more channels (1/σ and −μ/σ) gives a normalised output.
    """

    def __init__(self, layer: Any, *, width: int, arithmetic: Arithmetic) -> None:
        narrow, norm, _, wide, wide_norm, _, scale = layer
        exact = arithmetic.exact
        hidden, channels = narrow.out_channels, narrow.in_channels
        self._dtype = arithmetic.dtype
        self._narrow = Convolution(
            narrow.weight.unsqueeze(2),
            narrow.bias,
            arithmetic=arithmetic,
            padding=(0, *narrow.padding),
            dilation=(1, *narrow.dilation),
        )
        self._norm = partial(
            F.layer_norm,
            normalized_shape=(width, hidden),
            weight=exact.constant(norm.weight.expand(width, hidden)),
            bias=exact.constant(norm.bias.expand(width, hidden)),
            eps=norm.eps,
        )
        self._eps = wide_norm.eps
        self._weight, self._bias = exact.constant(wide.weight[:, :, 0]), exact.constant(wide.bias)
        self._gram = self._weight.T @ self._weight / len(self._weight)
        gain, shift = exact.constant(wide_norm.weight), exact.constant(wide_norm.bias)
        folded = torch.cat([self._weight, self._bias[:, None], torch.ones_like(gain)[:, None]], dim=1)
        folded *= gain[:, None]
        size = exact.constant(scale.scale)
        self._value = Dense(folded[:channels] * size[:, None], shift[:channels] * size, arithmetic=arithmetic)
        self._gate = Dense(folded[channels:], shift[channels:], arithmetic=arithmetic)

    def __call__(self, x: Tensor) -> Tensor:
        hidden = self._normalise(self._hidden(x))
        return x.addcmul_(self._value(hidden), self._gate(hidden, "sigmoid"))

    def _hidden(self, x: Tensor) -> Tensor:
        return F.gelu(self._norm(self._narrow(x.unsqueeze(0))[0].float()))

    def _normalise(self, hidden: Tensor) -> Tensor:
        """Return `[rows, width, hidden + 2]`, whose product with the weight has mean 0 and variance 1."""
        rows, width, inner = hidden.shape
        mean = hidden.mean(dim=1)
        covariance = torch.bmm(hidden.transpose(1, 2), hidden) / width - mean[:, :, None] * mean[:, None, :]
        means = torch.addmm(self._bias, mean, self._weight.T)
        total_mean = means.mean(dim=1, keepdim=True)
        variance = (covariance * self._gram).sum(dim=(1, 2)) + (means - total_mean).square().mean(dim=1)
        inverse = (variance + self._eps).rsqrt()[:, None]
        inputs = torch.empty(rows, width, inner + 2, dtype=self._dtype, device=hidden.device)
        torch.mul(hidden, inverse[:, :, None], out=inputs[..., :inner])
        inputs[..., inner] = inverse
        inputs[..., inner + 1] = -total_mean * inverse
        return inputs
