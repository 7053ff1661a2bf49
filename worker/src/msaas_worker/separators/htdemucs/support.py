"""The configurations of HTDemucs that the fast forward pass supports."""

from typing import Any

from demucs.hdemucs import HDecLayer, HEncLayer
from demucs.htdemucs import HTDemucs
from torch import nn

from msaas_worker.separators.htdemucs.network import HTDemucsNetwork
from msaas_worker.separators.htdemucs.preparation import BuildNetwork


def htdemucs_network(model: Any) -> BuildNetwork | None:
    """Return the fast form of a model, None if its class or configuration is not supported."""
    is_supported = (
        type(model) is HTDemucs and len(model.tencoder) == len(model.encoder) and supports_layers(model)
    )
    return HTDemucsNetwork if is_supported else None


def supports_layers(model: Any) -> bool:
    """Return whether all layers of a model, an HTDemucs or derived from it, are supported."""
    return (
        model.audio_channels == 2
        and model.freq_emb is not None
        and _supports_spectrum(model)
        and all(_supports_encoder(layer) for layer in (*model.encoder, *model.tencoder))
        and all(_supports_decoder(layer) for layer in (*model.decoder, *model.tdecoder))
        and _supports_bottom(model)
    )


def _supports_spectrum(model: Any) -> bool:
    return bool(
        model.use_train_segment and (model.cac or (model.wiener_iters < 0 and not model.wiener_residual))
    )


def _supports_encoder(layer: Any) -> bool:
    return isinstance(layer, HEncLayer) and layer.stride * 2 == layer.kernel_size and _supports_rest(layer)


def _supports_decoder(layer: Any) -> bool:
    return isinstance(layer, HDecLayer) and layer.stride * 2 == layer.kernel_size and _supports_rest(layer)


def _supports_rest(layer: Any) -> bool:
    if layer.empty or layer.norm or layer.rewrite is None or layer.pad * 2 != layer.stride:
        return False
    branches = layer.dconv.layers if layer.dconv else ()
    return all([type(part).__name__ for part in branch] == _BRANCH for branch in branches)


_BRANCH = ["Conv1d", "GroupNorm", "GELU", "Conv1d", "GroupNorm", "GLU", "LayerScale"]


def _supports_bottom(model: Any) -> bool:
    encoder = model.crosstransformer
    if encoder is None:
        return not model.bottom_channels
    return bool(model.bottom_channels) and _supports_transformer(encoder)


def _supports_transformer(encoder: Any) -> bool:
    return (
        encoder.emb == "sin"
        and encoder.sin_random_shift == 0
        and encoder.classic_parity == 0
        and isinstance(encoder.norm_in, nn.LayerNorm)
        and all(_supports_layer(layer) for layer in (*encoder.layers, *encoder.layers_t))
    )


def _supports_layer(layer: Any) -> bool:
    return bool(
        not layer.sparse
        and layer.norm_first
        and isinstance(layer.norm1, nn.LayerNorm)
        and layer.norm_out is not None
        and layer.norm_out.num_groups == 1
        and layer.activation is nn.functional.gelu
        and hasattr(layer.gamma_1, "scale")
    )
