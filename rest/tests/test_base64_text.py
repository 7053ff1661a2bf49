"""Strict base64: exact decoding, or a refusal."""

import base64
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.errors import InvalidBase64
from msaas_rest.api.separate.base64_text import write_decoded

#: Results do not depend on the size of the chunks.
chunks = st.sampled_from([1024 * 1024, 7, 4, 1])


def decode(text: str, chunk_bytes: int = 1024 * 1024) -> bytes:
    file, encoded = io.BytesIO(), text.encode(errors="replace")
    write_decoded(
        (encoded[start : start + chunk_bytes] for start in range(0, len(encoded), chunk_bytes)), file
    )
    return file.getvalue()


@given(
    data=st.binary(max_size=200),
    width=st.integers(1, 80),
    line_break=st.sampled_from(["\r\n", "\n", "\r", ""]),
    chunk=chunks,
)
def test_encoded_bytes_are_decoded(data: bytes, width: int, line_break: str, chunk: int) -> None:
    text = base64.b64encode(data).decode()
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    assert decode(line_break.join(lines), chunk) == data


@given(data=st.binary(min_size=1, max_size=60), at=st.integers(0, 80), foreign=st.characters(), chunk=chunks)
def test_foreign_character_is_refused_at_any_place(data: bytes, at: int, foreign: str, chunk: int) -> None:
    text = base64.b64encode(data).decode()
    spoilt = text[:at] + foreign + text[at:]
    if foreign in "\r\n":
        assert decode(spoilt, chunk) == data
    else:
        # A letter of the alphabet may make another valid text, if the padding happens to fit.
        with suppress(InvalidBase64):
            assert base64.b64encode(decode(spoilt, chunk)).decode() == spoilt


@pytest.mark.parametrize("chunk", [1024 * 1024, 7, 4, 1])
@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AA=", "AAAA=", "=AAA", "AA==AAAA", "AB==", "AAB=", "====", "A A="]
)
def test_wrong_padding_is_refused(text: str, chunk: int) -> None:
    with pytest.raises(InvalidBase64):
        decode(text, chunk)


@pytest.mark.parametrize("text", ["data:audio/mpeg;base64,AAAA", "DATA:,AAAA"])
def test_data_url_is_named(text: str) -> None:
    with pytest.raises(InvalidBase64, match="data: URL"):
        decode(text)
