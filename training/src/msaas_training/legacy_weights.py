"""Converts weights of earlier architectures to the current one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from msaas_training.widening import Weights

#: Up to commit 14efc9b there were four levels. The innermost was silent, because a gate was closed.
_SILENT_LEVEL = ("encoder.3.", "decoder.0.", "context.3.")


def convert(weights: Mapping[str, torch.Tensor], *, own: Weights) -> Weights:
    """Return float weights in the current format. A missing context is taken from `own`.

    Other missing or surplus weights are not changed.
    """
    converted = {name: value.float() for name, value in weights.items()}
    if {"decoder.0.conv_tr.bias", "decoder.3.conv_tr.bias"} <= converted.keys():
        converted = _remove_silent_level(converted)
    context = {name: value for name, value in own.items() if name.startswith("context.")}
    return converted if any(map(context.__contains__, converted)) else context | converted


def _remove_silent_level(weights: Weights) -> Weights:
    """Remove the fourth level and add its constant output as the decoders' initial value.

    This is exact for all packaged weights. For weights with an open gate the function would change.
    """
    kept = {_renumber(name): value for name, value in weights.items() if not name.startswith(_SILENT_LEVEL)}
    constant = functional.gelu(weights["decoder.0.conv_tr.bias"])
    return kept | {"start": constant[None, :, None, None]}


def _renumber(name: str) -> str:
    """Return the new name of a layer. Decoders are numbered from the innermost level."""
    layer, number, *rest = name.split(".")
    return ".".join([layer, str(int(number) - 1), *rest]) if layer == "decoder" else name
