"""Ids, songs, stems, models and errors."""

import hashlib
import io

import pytest

from msaas import errors
from msaas.errors import InvalidId, MsaasError, SongTooLarge, UnknownModel, UnknownStem
from msaas.songs import parse_id, song_hash, song_hash_of, source_of, with_variant
from msaas.stems import FOUR_STEMS, MODELS, SIX_STEMS, STARTER, parse_model, parse_stem

SONG = "a" * 64


def test_a_song_is_named_by_its_bytes() -> None:
    assert song_hash(b"mp3") == hashlib.sha256(b"mp3").hexdigest()
    file = io.BytesIO(b"mp3")
    file.read()
    assert song_hash_of(file) == song_hash(b"mp3")


@pytest.mark.parametrize(
    "text", [SONG, f"{SONG}.0123456789ab", "d" * 56, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "A", "a" * 128]
)
def test_ids_old_and_new_are_ids(text: str) -> None:
    assert parse_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".a",
        "-a",
        "_a",
        "a/b",
        "a..b",
        "a\\b",
        "a b",
        "a\n",
        "a\x00",
        "ä",
        "a" * 129,
        "a%2e",
        "a?b",
    ],
)
def test_whatever_could_leave_its_bucket_is_no_id(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_id(text)


def test_a_variant_works_on_the_same_song() -> None:
    assert source_of(with_variant(SONG, "0123456789ab")) == SONG
    assert with_variant(SONG, "") == SONG
    assert source_of(SONG) == SONG
    assert source_of("old.id") == "old.id"


def test_base_means_bass() -> None:
    assert parse_stem("base") == "bass"
    assert [parse_stem(stem) for stem in SIX_STEMS] == list(SIX_STEMS)


@pytest.mark.parametrize("name", ["", "basses", "Vocals", "x" * 1000])
def test_an_unknown_stem_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownStem, match="drums, bass, other, vocals, guitar, piano") as refused:
        parse_stem(name)
    assert len(str(refused.value)) < 250


def test_a_model_of_four_stems_has_no_piano() -> None:
    with pytest.raises(UnknownStem):
        parse_stem("piano", stems=FOUR_STEMS)


@pytest.mark.parametrize("name", ["someone/their-model", "", "HTDEMUCS", "../htdemucs"])
def test_a_free_name_is_no_model(name: str) -> None:
    with pytest.raises(UnknownModel, match="htdemucs_ft"):
        parse_model(name)


def test_every_model_has_its_stems() -> None:
    assert all(parse_model(name) == name for name in MODELS)
    assert set(MODELS.values()) == {FOUR_STEMS, SIX_STEMS}
    assert STARTER in MODELS


def _every_error() -> list[type[MsaasError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, MsaasError) and each is not errors.MalformedJob]


@pytest.mark.parametrize("kind", _every_error(), ids=lambda kind: kind.__name__)
def test_every_error_says_in_one_sentence_what_is_wrong(kind: type[MsaasError]) -> None:
    assert kind().title.endswith(".")
    assert str(kind("More.")) == f"{kind().title} More."


def test_the_code_of_an_error_is_its_name() -> None:
    assert SongTooLarge().code == "song_too_large"
    assert errors.NotAnMp3().code == "not_an_mp3"
    assert str(SongTooLarge()) == "The song has too many bytes."


def test_no_two_errors_share_a_code() -> None:
    codes = [kind().code for kind in _every_error()]
    assert len(codes) == len(set(codes))
