"""Products and convolutions over tensors with channels last. Weights are put into their layout once."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Activation = Literal["none", "gelu", "sigmoid"]
_ACTIVATIONS = {"none": lambda x: x, "gelu": F.gelu, "sigmoid": torch.sigmoid}

#: oneDNN chooses the layout for this number of rows and this map. Other sizes are possible, too.
_TYPICAL_ROWS = 2_688
_TYPICAL_MAP = (64, 336)


@dataclass(frozen=True)
class Arithmetic:
    """Type and device of products. Norms, statistics, the residual stream and the STFT are always float32."""

    dtype: torch.dtype
    device: torch.device
    #: Whether oneDNN's own operators are used. They use AVX-512 wherever it exists, unlike the BLAS behind
    #: `F.linear`, and compute an activation or a product with the same access to memory.
    packed: bool

    @property
    def exact(self) -> "Arithmetic":
        """The same in float32."""
        return replace(self, dtype=torch.float32)

    def constant(self, value: Tensor) -> Tensor:
        """Return a weight in this type, on this device."""
        return value.detach().to(self.device, self.dtype).contiguous()


class Dense:
    """activation(x · weightᵀ + bias), x: `[…, in]`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, arithmetic: Arithmetic) -> None:
        self._packed = arithmetic.packed
        self._weight = arithmetic.constant(weight)
        self._bias = None if bias is None else arithmetic.constant(bias)
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, _TYPICAL_ROWS)

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        if self._packed:
            return onednn_linear(x, self._weight, self._bias, activation)
        return _ACTIVATIONS[activation](F.linear(x, self._weight, self._bias))


def onednn_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none"
) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
    return y


class Convolution:
    """activation(x ∗ weight + bias), x: `[batch, height, width, channels]`."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        arithmetic: Arithmetic,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        self._packed = arithmetic.packed
        self._weight = arithmetic.constant(weight)
        self._bias = arithmetic.constant(bias)
        self._geometry: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": 1,
        }
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, padding, stride, dilation, 1, [1, weight.shape[1], *_TYPICAL_MAP]
            )

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        x = x.permute(0, 3, 1, 2)
        if self._packed:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self._weight, self._bias, **self._geometry, attr=activation, scalars=[], algorithm="none"
            )
        else:
            y = _ACTIVATIONS[activation](F.conv2d(x, self._weight, self._bias, **self._geometry))
        return y.permute(0, 2, 3, 1)

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        """(x ∗ weight + bias) · factor."""
        x, factor = x.permute(0, 3, 1, 2), factor.permute(0, 3, 1, 2)
        if self._packed:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
                x,
                factor,
                self._weight,
                self._bias,
                **self._geometry,
                binary_attr="mul",
                alpha=None,
                unary_attr=None,
                unary_scalars=[],
                unary_algorithm=None,
            )
        else:
            y = F.conv2d(x, self._weight, self._bias, **self._geometry).mul_(factor)
        return y.permute(0, 2, 3, 1)


class TransposedConvolution:
    """activation(conv_transpose(x)) along the height, with a kernel `[in, out, size]`."""

    def __init__(
        self, weight: Tensor, bias: Tensor, *, arithmetic: Arithmetic, stride: int, padding: int
    ) -> None:
        self._weight = arithmetic.constant(weight.unsqueeze(-1))
        self._bias = arithmetic.constant(bias)
        self._geometry: dict[str, Any] = {"stride": (stride, 1), "padding": (padding, 0)}

    def __call__(self, x: Tensor, activation: Activation) -> Tensor:
        y = F.conv_transpose2d(x.permute(0, 3, 1, 2), self._weight, self._bias, **self._geometry)
        return _ACTIVATIONS[activation](y.permute(0, 2, 3, 1))


class InterleavedConvolution:
    """activation(conv_transpose(x)) along the width, with a kernel `[in, out, size]` of twice the stride.

    Each column of x contributes to two groups of output columns. So this is a convolution with two taps,
    whose output channels are the columns of a group. With channels last they are in memory in the order of
    the columns.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, *, arithmetic: Arithmetic, stride: int, padding: int
    ) -> None:
        self._padding = padding
        self._channels = weight.shape[1]
        taps = weight.detach().unflatten(-1, (2, stride)).flip(-2)  # [in, out, tap, column]
        self._convolution = Convolution(
            taps.permute(3, 1, 0, 2).flatten(0, 1).unsqueeze(2),
            bias.detach().repeat(stride),
            arithmetic=arithmetic,
            padding=(0, 1),
        )

    def __call__(self, x: Tensor, activation: Activation) -> Tensor:
        y = self._convolution(x, activation)
        return y.unflatten(-1, (-1, self._channels)).flatten(2, 3)[:, :, self._padding :]
