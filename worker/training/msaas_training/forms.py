"""Weights of older forms of the starter, said in the form of now."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from msaas_training.widening import Weights

#: Until commit 14efc9b there were four levels, of which the innermost had gone silent: a gate was closed.
_SILENT = ("encoder.3.", "decoder.0.", "context.3.")


def of_now(given: Mapping[str, torch.Tensor], *, own: Weights) -> Weights:
    """The weights of a file, of as many channels; a context that it lacks is as in `own`.

    What they lack of any form, and what they have too much, is left as it is.
    """
    weights = {name: value.float() for name, value in given.items()}
    if {"decoder.0.conv_tr.bias", "decoder.3.conv_tr.bias"} <= weights.keys():
        weights = _without_the_silent_level(weights)
    context = {name: value for name, value in own.items() if name.startswith("context.")}
    return weights if any(map(context.__contains__, weights)) else context | weights


def _without_the_silent_level(given: Weights) -> Weights:
    """What the fourth level added was a constant, with which the decoders begin now.

    So it is with every file that was packaged; one whose gate is open would become another function.
    """
    kept = {_moved_up(name): value for name, value in given.items() if not name.startswith(_SILENT)}
    constant = functional.gelu(given["decoder.0.conv_tr.bias"])
    return kept | {"start": constant[None, :, None, None]}


def _moved_up(name: str) -> str:
    """Decoders are counted from the inside out."""
    layer, number, *rest = name.split(".")
    return ".".join([layer, str(int(number) - 1), *rest]) if layer == "decoder" else name
