"""A network is compared with the row of its model."""

from dataclasses import replace

import pytest
from worker.tests.models import tiny

from msaas.errors import ModelUnavailable
from msaas.models import MODELS
from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.separators.weights import check_network


def test_network_like_the_row_of_its_model_passes() -> None:
    check_network("htdemucs", tiny())


def test_network_with_other_stems_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="htdemucs_6s make drums, bass, other, vocals at 44100 Hz"):
        check_network("htdemucs_6s", tiny())


def test_network_with_another_sample_rate_than_its_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "htdemucs", replace(MODELS["htdemucs"], samplerate=48_000))
    with pytest.raises(ModelUnavailable, match="at 44100 Hz"):
        check_network("htdemucs", tiny())


def test_network_with_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="1 channel"):
        check_network("htdemucs", tiny(audio_channels=1))


def test_every_model_has_the_sample_rate_of_the_decoder() -> None:
    assert {row.samplerate for row in MODELS.values()} == {SAMPLERATE}
