"""Each part of the fast forward pass computes the same as the module of demucs."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn
from worker.tests.htdemucs_models import PACKED, PLAIN, random_model, snr_db

from msaas_worker.separators.htdemucs.attention import Attention
from msaas_worker.separators.htdemucs.layers import Decoder, Encoder
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.residual import ResidualBranch
from msaas_worker.separators.htdemucs.spectrogram import ComplexAsChannels, Magnitudes, Spectrogram
from msaas_worker.separators.htdemucs.transformer import Layer, Transformer

GATE_A_DB = 90

each_arithmetic = pytest.mark.parametrize("arithmetic", [PACKED, PLAIN], ids=["packed", "plain"])


@pytest.fixture(scope="module")
def model() -> HTDemucs:
    return random_model()


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def channels_last(x: Tensor) -> Tensor:
    """`[batch, channels, (height,) width]` → `[batch, height, width, channels]`."""
    return (x.unsqueeze(2) if x.dim() == 3 else x).permute(0, 2, 3, 1).contiguous()


def from_demucs(spectrum: Tensor) -> Tensor:
    """`[batch, (stems,) 2, bins, frames]` → `[batch, frames, (stems ·) 2, bins]`."""
    return spectrum.flatten(1, -3).permute(0, 3, 1, 2)


def test_spectrogram_equals_demucs(model: HTDemucs) -> None:
    mixture = torch.randn(2, 2, 44_100)
    spectrogram = Spectrogram(size=4_096, samples=44_100, device=torch.device("cpu"))
    assert snr_db(from_demucs(model._spec(mixture)), spectrogram.analyse(mixture)) > 110
    stems = torch.randn(2, 4, 2, 2_048, 44, dtype=torch.complex64)
    expected = model._ispec(stems, 44_100).flatten(1, 2)
    assert snr_db(expected, spectrogram.synthesise(from_demucs(stems))) > 110


def test_complex_maps_equal_demucs(model: HTDemucs) -> None:
    z, view = torch.randn(2, 2, 2_048, 44, dtype=torch.complex64), ComplexAsChannels()
    assert torch.equal(view.maps(from_demucs(z)), channels_last(model._magnitude(z)))
    output = torch.randn(2, 4, 4, 2_048, 44)
    stems = view.stems(channels_last(output.flatten(1, 2)), from_demucs(z))
    assert torch.equal(stems, from_demucs(model._mask(None, output)))


def test_masks_equal_demucs() -> None:
    masking = random_model(cac=False, wiener_iters=-1, end_iters=-1, t_layers=0, bottom_channels=0)
    z, view = torch.randn(2, 2, 2_048, 44, dtype=torch.complex64), Magnitudes()
    assert torch.equal(view.maps(from_demucs(z)), channels_last(masking._magnitude(z)))
    output = torch.randn(2, 4, 2, 2_048, 44)
    stems = view.stems(channels_last(output.flatten(1, 2)), from_demucs(z))
    assert snr_db(from_demucs(masking._mask(z, output)), stems) > 110


@each_arithmetic
@pytest.mark.parametrize("rows", [1, 8])
def test_residual_branch_equals_demucs(model: HTDemucs, arithmetic: Arithmetic, rows: int) -> None:
    dconv = model.encoder[2].dconv
    x = torch.randn(rows, dconv.layers[0][0].in_channels, 44)
    ours = x.transpose(1, 2).contiguous()
    for layer in dconv.layers:
        ResidualBranch(layer, width=44, arithmetic=arithmetic)(ours)
    assert snr_db(dconv(x) - x, ours.transpose(1, 2) - x) > GATE_A_DB


def test_residual_branch_of_silence_is_finite(model: HTDemucs) -> None:
    layer = model.encoder[0].dconv.layers[0]
    nn.init.zeros_(layer[0].bias)
    x = torch.zeros(1, 8, 44)
    ours = ResidualBranch(layer, width=44, arithmetic=PACKED)(x.transpose(1, 2).contiguous())
    assert snr_db(layer(x), ours.transpose(1, 2)) > GATE_A_DB


@each_arithmetic
@pytest.mark.parametrize("index", [0, 1, 2, 3])
@pytest.mark.parametrize("branch", ["encoder", "tencoder"])
def test_encoder_equals_demucs(model: HTDemucs, arithmetic: Arithmetic, index: int, branch: str) -> None:
    layer = getattr(model, branch)[index]
    width = 43 if layer.freq else 203
    x = torch.randn(2, layer.conv.in_channels, *((32, width) if layer.freq else (width,)))
    expected = channels_last(layer(x))
    ours = Encoder(layer, width=expected.shape[2], arithmetic=arithmetic)(channels_last(x))
    assert snr_db(expected, ours) > GATE_A_DB


@each_arithmetic
@pytest.mark.parametrize("index", [0, 1, 2, 3])
@pytest.mark.parametrize("branch", ["decoder", "tdecoder"])
def test_decoder_equals_demucs(model: HTDemucs, arithmetic: Arithmetic, index: int, branch: str) -> None:
    layer = getattr(model, branch)[index]
    x, skip = torch.randn(2, 2, layer.chin, *((8, 43) if layer.freq else (51,)))
    length = 203
    expected = channels_last(layer(x, skip, length)[0])
    width = x.shape[-1]
    ours = Decoder(layer, width=width, arithmetic=arithmetic)(channels_last(x), channels_last(skip))
    assert snr_db(expected, ours[:, :, : expected.shape[2]]) > GATE_A_DB


@each_arithmetic
@pytest.mark.parametrize("queries", [7, 448, 700])
def test_attention_equals_torch(model: HTDemucs, arithmetic: Arithmetic, queries: int) -> None:
    attention = model.crosstransformer.layers[1].cross_attn
    x, memory, scale = torch.randn(2, queries, 32), torch.randn(2, 33, 32), torch.rand(32)
    expected = scale * attention(x, memory, memory, need_weights=False)[0]
    ours = Attention(attention, scale=scale, arithmetic=arithmetic)
    assert snr_db(expected, ours(x, memory)) > GATE_A_DB


@each_arithmetic
@pytest.mark.parametrize("index", [0, 1])
def test_layer_of_the_transformer_equals_demucs(model: HTDemucs, arithmetic: Arithmetic, index: int) -> None:
    layer = model.crosstransformer.layers[index]
    x, other = torch.randn(2, 40, 32), torch.randn(2, 50, 32)
    expected = layer(x, other) if Layer.crosses(layer) else layer(x)
    assert snr_db(expected, Layer(layer, arithmetic=arithmetic)(x, other)) > GATE_A_DB


@each_arithmetic
def test_transformer_equals_demucs(model: HTDemucs, arithmetic: Arithmetic) -> None:
    encoder: Any = model.crosstransformer
    x, xt = torch.randn(1, 32, 8, 44), torch.randn(1, 32, 173)
    expected, expected_t = encoder(x, xt)
    ours = Transformer(encoder, bins=8, frames=44, steps=173, arithmetic=arithmetic)
    tokens, tokens_t = ours(x.flatten(2).transpose(1, 2), xt.transpose(1, 2))
    assert snr_db(expected.flatten(2), tokens.transpose(1, 2)) > GATE_A_DB
    assert snr_db(expected_t, tokens_t.transpose(1, 2)) > GATE_A_DB
