"""Named errors: titles, codes and texts."""

import pytest

from msaas import errors
from msaas.errors import MsaasError, SongTooLarge


def _every_error() -> list[type[MsaasError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, MsaasError) and each is not errors.MalformedJob]


@pytest.mark.parametrize("kind", _every_error(), ids=lambda kind: kind.__name__)
def test_title_is_one_sentence(kind: type[MsaasError]) -> None:
    assert kind().title.endswith(".")
    assert str(kind()) == kind().title
    assert str(kind("More.")) == "More."


def test_code_is_the_name_of_the_class() -> None:
    assert SongTooLarge().code == "song_too_large"
    assert errors.NotAudio().code == "not_audio"
    assert str(SongTooLarge()) == "The song has too many bytes."


def test_codes_are_unique() -> None:
    codes = [kind().code for kind in _every_error()]
    assert len(codes) == len(set(codes))
