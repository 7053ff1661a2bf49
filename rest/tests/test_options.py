"""A request's options name the piece of work."""

import pytest

from msaas.errors import InvalidCallback, MsaasError, UnknownFormat, UnknownModel, UnknownStem
from msaas.jobs import Callback
from msaas.songs import parse_id, source_of
from msaas.stems import MODELS, SIX_STEMS
from msaas_rest.separation.options import Options, parse_callback, parse_options

SONG = "0" * 64


def job_id(**fields: object) -> str:
    return parse_options(fields, default_model="htdemucs").job_id(SONG)


def test_the_default_is_the_song_itself() -> None:
    assert job_id() == job_id(model=None) == job_id(model="") == job_id(model="htdemucs") == SONG


def test_an_id_never_changes() -> None:
    """Clients keep ids; this one was given out."""
    assert job_id(model="mdx_extra") == f"{SONG}.726ede2b4425"


def test_each_model_has_its_own_id() -> None:
    ids = {job_id(model=model) for model in MODELS}
    assert len(ids) == len(MODELS)
    assert all(parse_id(each) == each and source_of(each) == SONG for each in ids)


def test_the_id_of_a_named_model_does_not_hang_on_the_default() -> None:
    other = parse_options({"model": "mdx"}, default_model="htdemucs_ft")
    assert other.job_id(SONG) == job_id(model="mdx")


@pytest.mark.parametrize(
    "model", ["nobody/evil", "../x", "HTDEMUCS", 7, ["htdemucs"], {"a": 1}, "x" * 100_000]
)
def test_a_free_model_name_is_refused(model: object) -> None:
    with pytest.raises(UnknownModel) as refused:
        job_id(model=model)
    assert len(refused.value.detail) < 500


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"format": "wav"}, UnknownFormat),
        ({"format": 3}, UnknownFormat),
        ({"stems": ["vocals"]}, UnknownStem),
    ],
)
def test_what_is_not_made_is_refused_and_not_passed_over(
    fields: dict[str, object], error: type[MsaasError]
) -> None:
    with pytest.raises(error):
        job_id(**fields)
    assert job_id(format="mp3", stems=[]) == SONG


def test_a_model_knows_its_stems() -> None:
    assert Options("htdemucs_6s").stems("htdemucs") == SIX_STEMS
    assert Options().stems("htdemucs") == MODELS["htdemucs"]


def test_a_callback_keeps_its_data_as_it_is() -> None:
    data = {"nested": [1, None, "é"]}
    assert parse_callback({"url": "http://localhost:5000", "data": data}) == Callback(
        "http://localhost:5000", data
    )
    assert parse_callback({"url": "gopher://wherever"}) == Callback("gopher://wherever", None)
    assert parse_callback(None) is None


@pytest.mark.parametrize(
    "callback", ["http://x/", 7, [], {}, {"url": None}, {"url": " "}, {"data": 1}, False]
)
def test_a_callback_that_is_none_is_refused(callback: object) -> None:
    with pytest.raises(InvalidCallback):
        parse_callback(callback)
