"""JSON bodies with a song as base64. The song is decoded from the file of the body, piece by piece.

`json.loads` would hold the song as text, with 4 bytes a character if one of them is an emoji.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import Any, BinaryIO

from msaas.errors import InvalidBase64, MalformedRequest
from msaas.mapped_file import STEP_BYTES, release_pages

#: A longer text stays in the file.
LONG_BYTES = 128 * 1024
#: Everything but the long texts.
_MAX_REST_BYTES = 1024 * 1024
#: A small body can hold very many values, a request has few.
_MAX_VALUES = 100_000
_CHUNK_BYTES = 1024 * 1024
#: `\ud83d\ude00` is the longest escape.
_ESCAPE_BYTES = 12


@dataclass(frozen=True)
class LongText:
    """A text of a JSON document, between its quotes at `start` and `end`."""

    document: mmap
    start: int
    end: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the text in UTF-8, without its escapes. Raises `MalformedRequest` for an invalid escape."""
        at, released = self.start, 0
        while at < self.end:
            chunk = self.document[at : min(at + _CHUNK_BYTES, self.end)]
            if b"\\" in chunk and at + len(chunk) < self.end:
                chunk = _without_open_escape(chunk)
            released = release_pages(self.document, released, end=at)
            at += len(chunk)
            yield _unescape(chunk)


def _without_open_escape(chunk: bytes) -> bytes:
    """Leave an escape that may go on behind the chunk for the next one."""
    last = chunk.rfind(b"\\", len(chunk) - _ESCAPE_BYTES)
    return chunk if last <= 0 else chunk[:last]


def _unescape(chunk: bytes) -> bytes:
    if b"\\" not in chunk and not any(each in chunk for each in (b"\n", b"\r", b"\t")):
        return chunk
    try:
        text: str = json.loads(b'"' + chunk + b'"')
        return text.encode()
    except ValueError:
        raise InvalidBase64("The song is not base64: it holds an invalid JSON escape.") from None


def read_json(file: BinaryIO) -> tuple[Any, dict[str, LongText]]:
    """Return the document, in which each long text is a key of the second value.

    Raises:
        MalformedRequest: the file is not JSON, or too much of it is not a long text.
    """
    if file.seek(0, 2) == 0:
        raise MalformedRequest("The body is empty.")
    document = mmap(file.fileno(), 0, access=ACCESS_READ)
    # A client cannot guess the keys.
    salt = secrets.token_hex(16)
    rest = bytearray()
    texts: dict[str, LongText] = {}
    at = 0
    for text in _long_texts(document):
        key = f"{salt}-{len(texts)}"
        texts[key] = text
        rest += _rest(document, at, text.start, taken_bytes=len(rest)) + key.encode()
        at = text.end
    rest += _rest(document, at, len(document), taken_bytes=len(rest))
    if rest.count(b",") + rest.count(b"[") + rest.count(b"{") > _MAX_VALUES:
        raise MalformedRequest(f"The body holds more than {_MAX_VALUES} JSON values.")
    return json.loads(rest.decode(), parse_constant=refuse_constant), texts


def _rest(document: mmap, start: int, end: int, *, taken_bytes: int) -> bytes:
    if taken_bytes + end - start > _MAX_REST_BYTES:
        raise _too_much_beside_the_song()
    return document[start:end]


def _long_texts(document: mmap) -> Iterator[LongText]:
    """Yield the long texts. The document may be malformed."""
    rest_start = 0
    start = _find_quote(document, 0) + 1
    while start:
        if start - rest_start > _MAX_REST_BYTES:
            raise _too_much_beside_the_song()
        end = _end_of_text(document, start)
        if end - start > LONG_BYTES:
            yield LongText(document, start, end)
            rest_start = end
        start = _find_quote(document, end + 1) + 1


def _end_of_text(document: mmap, start: int) -> int:
    """Return the position of the closing quote, the end of the document if there is none.

    Raises:
        MalformedRequest: a long text holds a quote. It cannot be base64.
    """
    quote = _find_quote(document, start)
    while quote >= 0 and _is_escaped(document, quote, start=start):
        if quote - start > LONG_BYTES:
            raise MalformedRequest(f"A text of more than {LONG_BYTES} bytes holds a quotation mark.")
        quote = _find_quote(document, quote + 1)
    return len(document) if quote < 0 else quote


def _find_quote(document: mmap, start: int) -> int:
    """Return the position of the next quote, -1 if there is none. Release the pages before it."""
    while start < len(document):
        end = (start // STEP_BYTES + 1) * STEP_BYTES
        found = document.find(b'"', start, end)
        if found >= 0:
            return found
        release_pages(document, end - STEP_BYTES, end=end)
        start = end
    return -1


def _is_escaped(document: mmap, quote: int, *, start: int) -> bool:
    """Return whether an odd number of backslashes is before the quote."""
    backslashes, size = 0, 16
    while backslashes < quote - start:
        end = quote - backslashes
        before = document[max(start, end - size) : end]
        found = len(before) - len(before.rstrip(b"\\"))
        backslashes += found
        if found < len(before):
            break
        size = _CHUNK_BYTES
    return backslashes % 2 == 1


def _too_much_beside_the_song() -> MalformedRequest:
    return MalformedRequest(f"The fields beside the song have more than {_MAX_REST_BYTES} bytes.")


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
