"""The encoder and decoder layers of HTDemucs over maps `[batch, height, width, channels]`.

Height and width of a spectrogram are bins and frames. A waveform is a map of height 1, so one class serves
both.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from msaas_worker.separators.htdemucs.operators import (
    Activation,
    Arithmetic,
    Convolution,
    InterleavedConvolution,
    TransposedConvolution,
)
from msaas_worker.separators.htdemucs.residual import ResidualBranch


class Gated:
    """GLU(x ∗ weight + bias). The convolutions also compute the sigmoid and the product."""

    def __init__(self, convolution: Any, *, arithmetic: Arithmetic) -> None:
        values, gates = _kernel(convolution).chunk(2)
        value_bias, gate_bias = convolution.bias.detach().chunk(2)
        padding = (values.shape[2] // 2, values.shape[3] // 2)
        self._value = Convolution(values, value_bias, arithmetic=arithmetic, padding=padding)
        self._gate = Convolution(gates, gate_bias, arithmetic=arithmetic, padding=padding)

    def __call__(self, x: Tensor) -> Tensor:
        return self._value.times(x, self._gate(x, "sigmoid"))


class Residuals:
    """Adds the residual branches of a layer to x, in place if x is contiguous. A row is one signal."""

    def __init__(self, dconv: Any, *, width: int, arithmetic: Arithmetic) -> None:
        layers = dconv.layers if dconv else ()
        self._branches = [ResidualBranch(layer, width=width, arithmetic=arithmetic) for layer in layers]

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        for branch in self._branches:
            branch(rows)
        # The rows of a batch that is not contiguous are a copy.
        return rows.unflatten(0, x.shape[:2])


class Encoder:
    """A layer that reduces the height of a spectrogram, or the width of a waveform."""

    def __init__(self, layer: Any, *, width: int, arithmetic: Arithmetic) -> None:
        self._dtype = arithmetic.dtype
        self._stride = (layer.stride, 1) if layer.freq else (1, layer.stride)
        self._down = Convolution(
            _kernel(layer.conv),
            layer.conv.bias,
            arithmetic=arithmetic,
            stride=self._stride,
            padding=(layer.pad, 0) if layer.freq else (0, layer.pad),
        )
        self._residuals = Residuals(layer.dconv, width=width, arithmetic=arithmetic)
        self._gated = Gated(layer.rewrite, arithmetic=arithmetic)

    def __call__(self, x: Tensor) -> Tensor:
        missing = -x.shape[2] % self._stride[1]
        x = F.pad(x, (0, 0, 0, missing)) if missing else x
        return self._gated(self._residuals(self._down(x.to(self._dtype), "gelu")))


class Decoder:
    """A layer that increases height or width. The result may be wider than the encoder's input."""

    def __init__(self, layer: Any, *, width: int, arithmetic: Arithmetic) -> None:
        self._dtype = arithmetic.dtype
        self._activation: Activation = "none" if layer.last else "gelu"
        self._gated = Gated(layer.rewrite, arithmetic=arithmetic)
        self._residuals = Residuals(layer.dconv, width=width, arithmetic=arithmetic)
        # The stems themselves are float32.
        upwards = arithmetic.exact if layer.last else arithmetic
        self._dtype_up = upwards.dtype
        convolution = TransposedConvolution if layer.freq else InterleavedConvolution
        self._up = convolution(
            layer.conv_tr.weight.flatten(2),
            layer.conv_tr.bias,
            arithmetic=upwards,
            stride=layer.stride,
            padding=layer.pad,
        )

    def __call__(self, x: Tensor, skip: Tensor) -> Tensor:
        y = self._residuals(self._gated(x.to(self._dtype) + skip))
        return self._up(y.to(self._dtype_up), self._activation)


def _kernel(convolution: Any) -> Tensor:
    """Return a kernel of two dimensions. A kernel over time has height 1."""
    weight: Tensor = convolution.weight.detach()
    return weight.unsqueeze(2) if weight.dim() == 3 else weight
