"""Which models a forward pass here knows: HTDemucs as published, less its transformer or not; the starter."""

from typing import Any

from demucs.hdemucs import HDecLayer, HEncLayer
from demucs.htdemucs import HTDemucs
from torch import nn

from msaas_worker.separators.starter import Starter


def is_known(model: Any) -> bool:
    """Tell whether a network here computes what the model does; of any other, the model itself is run."""
    if type(model) not in (HTDemucs, Starter) or model.audio_channels != 2 or model.freq_emb is None:
        return False
    return (
        _knows_spectrum(model)
        and (isinstance(model, Starter) or len(model.tencoder) == len(model.encoder))
        and all(_knows_encoder(layer) for layer in (*model.encoder, *model.tencoder))
        and all(_knows_decoder(layer) for layer in (*model.decoder, *model.tdecoder))
        and _knows_bottom(model)
    )


def _knows_spectrum(model: Any) -> bool:
    return bool(
        model.use_train_segment and (model.cac or (model.wiener_iters < 0 and not model.wiener_residual))
    )


def _knows_encoder(layer: Any) -> bool:
    return isinstance(layer, HEncLayer) and layer.stride * 2 == layer.kernel_size and _knows_rest(layer)


def _knows_decoder(layer: Any) -> bool:
    return isinstance(layer, HDecLayer) and layer.stride * 2 == layer.kernel_size and _knows_rest(layer)


def _knows_rest(layer: Any) -> bool:
    if layer.empty or layer.norm or layer.rewrite is None or layer.pad * 2 != layer.stride:
        return False
    branches = layer.dconv.layers if layer.dconv else ()
    return all([type(part).__name__ for part in branch] == _BRANCH for branch in branches)


_BRANCH = ["Conv1d", "GroupNorm", "GELU", "Conv1d", "GroupNorm", "GLU", "LayerScale"]


def _knows_bottom(model: Any) -> bool:
    encoder = model.crosstransformer
    if encoder is None:
        return not model.bottom_channels
    return bool(model.bottom_channels) and _knows_transformer(encoder)


def _knows_transformer(encoder: Any) -> bool:
    return (
        encoder.emb == "sin"
        and encoder.sin_random_shift == 0
        and encoder.classic_parity == 0
        and isinstance(encoder.norm_in, nn.LayerNorm)
        and all(_knows_layer(layer) for layer in (*encoder.layers, *encoder.layers_t))
    )


def _knows_layer(layer: Any) -> bool:
    return bool(
        not layer.sparse
        and layer.norm_first
        and isinstance(layer.norm1, nn.LayerNorm)
        and layer.norm_out is not None
        and layer.norm_out.num_groups == 1
        and layer.activation is nn.functional.gelu
        and hasattr(layer.gamma_1, "scale")
    )
