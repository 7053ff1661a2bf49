"""JSON bodies with long texts: the same values as `json.loads`, without the long texts in memory."""

import json
import time
from tempfile import TemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.errors import InvalidBase64, MalformedRequest
from msaas_rest.api.separate.json_body import LONG_BYTES, LongText, read_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
#: Pieces of base64, plain and with the escapes that encoders write.
pieces = st.lists(
    st.sampled_from(["QUJD", "+/+/", "\\/", "\\n", "\\r\\n", "\\u0041"]), min_size=1, max_size=6
)


def read(body: bytes) -> tuple[Any, dict[str, LongText]]:
    with TemporaryFile() as file:
        file.write(body)
        return read_json(file)


@given(value=values, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_short_values_are_those_of_the_json_parser(value: Any, indent: int | None, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        expected = json.loads(body.decode())
    except UnicodeDecodeError:
        with pytest.raises(ValueError, match="utf-8"):
            read(body)
        return
    assert read(body) == (expected, {})


@given(before=values, after=values, unit=pieces)
def test_long_text_is_read_in_chunks(before: Any, after: Any, unit: list[str]) -> None:
    raw = "".join(unit)
    raw *= LONG_BYTES // len(raw) + 2
    body = f'{{"a": {json.dumps(before)}, "mp3": "{raw}", "z": {json.dumps(after)}}}'
    fields, texts = read(body.encode())
    text = texts.pop(fields["mp3"])
    assert b"".join(text.chunks()).decode() == json.loads(f'"{raw}"')
    assert (fields["a"], fields["z"], texts) == (before, after, {})


@pytest.mark.parametrize("length", [1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 7])
@pytest.mark.parametrize("escape", ["\\/", "\\u002f"])
def test_escape_across_two_chunks_is_one_character(length: int, escape: str) -> None:
    for shift in range(len(escape) + 1):
        raw = "A" * (length - shift) + escape + "A" * LONG_BYTES
        fields, texts = read(f'{{"mp3": "{raw}"}}'.encode())
        assert b"".join(texts[fields["mp3"]].chunks()).decode() == json.loads(f'"{raw}"')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"mp3": "' + b"A" * 2 * LONG_BYTES,
        b'{"mp3": "' + b"A" * 2 * LONG_BYTES + b'\\"}',
        b'{"mp3": "' + b"A" * 2 * LONG_BYTES + b'\\"A"}',
        b'{"mp3": ' + b"[" * 200_000,
        b"[" * 3000,
        b'["", ' * 400_000,
        b'{"a": NaN}',
        '{"a": 1}'.encode("utf-16"),
        b"\xff",
    ],
    ids=range(11),
)
def test_malformed_document_is_refused(body: bytes) -> None:
    with pytest.raises((MalformedRequest, ValueError, RecursionError)):
        read(body)


@pytest.mark.parametrize("raw", ["\\x", "A\nA", "\\u12-", "\\ud83d"])
def test_invalid_text_is_refused_when_it_is_read(raw: str) -> None:
    fields, texts = read(f'{{"mp3": "{raw}{"A" * 2 * LONG_BYTES}"}}'.encode())
    with pytest.raises(InvalidBase64):
        list(texts[fields["mp3"]].chunks())


def test_quotes_and_backslashes_take_linear_time() -> None:
    """Each body would take minutes if each quote looked at all backslashes before it."""
    started = time.monotonic()
    read(b'{"a": "' + b"\\\\" * 8_000_000 + b'"}')
    for body in (b'"\\"' * 300_000, b'"' + b'\\"' * 5_000_000):
        with pytest.raises((MalformedRequest, ValueError)):
            read(body)
    assert time.monotonic() - started < 10
