"""Base64 is decoded exactly or refused."""

import base64
import io
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.errors import InvalidBase64
from msaas_rest.api.separate.base64_text import write_decoded
from msaas_rest.separation import base64_text


def decoded(text: str) -> bytes:
    file = io.BytesIO()
    write_decoded(text, file)
    return file.getvalue()


@pytest.fixture(autouse=True, params=[1024 * 1024, 7, 4, 1], scope="module")
def _piece(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the size of a piece, its seams do not show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_text, "_PIECE_CHARACTERS", request.param)
        yield


@given(
    data=st.binary(max_size=200),
    width=st.integers(1, 80),
    line_break=st.sampled_from(["\r\n", "\n", "\r", ""]),
)
def test_what_was_encoded_is_decoded(data: bytes, width: int, line_break: str) -> None:
    text = base64.b64encode(data).decode()
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    assert decoded(line_break.join(lines)) == data


@given(data=st.binary(min_size=1, max_size=60), at=st.integers(0, 80), foreign=st.characters())
def test_a_foreign_character_is_refused_wherever_it_stands(data: bytes, at: int, foreign: str) -> None:
    text = base64.b64encode(data).decode()
    spoilt = text[:at] + foreign + text[at:]
    if foreign in "\r\n":
        assert decoded(spoilt) == data
    else:
        # A letter of the alphabet may make another text, if the padding happens to fit.
        with suppress(InvalidBase64):
            assert base64.b64encode(decoded(spoilt)).decode() == spoilt


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AA=", "AAAA=", "=AAA", "AA==AAAA", "AB==", "AAB=", "====", "A A="]
)
def test_wrong_padding_is_refused(text: str) -> None:
    with pytest.raises(InvalidBase64):
        decoded(text)
