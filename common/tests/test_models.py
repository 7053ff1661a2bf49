"""The table of models and the names that requests use."""

import pytest

from msaas.errors import UnknownModel, UnknownStem
from msaas.models import FOUR_STEMS, MODELS, SIX_STEMS, STARTER, STEMS, parse_model, parse_stem


def test_base_means_bass() -> None:
    assert parse_stem("base") == "bass"
    assert [parse_stem(stem) for stem in SIX_STEMS] == list(SIX_STEMS)


@pytest.mark.parametrize("name", ["", "basses", "Vocals", "x" * 1000])
def test_unknown_stem_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownStem, match="drums, bass, other, vocals, guitar, piano") as refused:
        parse_stem(name)
    assert len(str(refused.value)) < 250


def test_stem_of_another_model_is_refused() -> None:
    with pytest.raises(UnknownStem):
        parse_stem("piano", stems=FOUR_STEMS)


@pytest.mark.parametrize("name", ["someone/their-model", "", "HTDEMUCS", "../htdemucs"])
def test_name_outside_the_table_is_refused(name: str) -> None:
    with pytest.raises(UnknownModel, match="htdemucs_ft"):
        parse_model(name)


def test_every_row_is_complete() -> None:
    assert all(parse_model(name) == name for name in MODELS)
    assert {row.stems for row in MODELS.values()} == {FOUR_STEMS, SIX_STEMS}
    assert all(row.source and row.code_license and row.weights_license for row in MODELS.values())
    assert STARTER in MODELS


def test_stems_are_those_of_any_model() -> None:
    assert STEMS == SIX_STEMS


@pytest.mark.parametrize(("name", "model"), [("mdx_extra_q", "mdx_extra"), ("mdx_q", "mdx")])
def test_names_of_earlier_systems_are_aliases(name: str, model: str) -> None:
    assert parse_model(name) == model
