"""Conversions between values and columns: times, texts, cursors."""

import base64
import json
import unicodedata
from typing import Any

from msaas.errors import InvalidFields

#: The last second of the year 9999.
_MAX_UNIX_S = 253402300799.0
#: They join letters and emoji. Other characters without a shape are removed from titles.
_JOINERS = "\u200c\u200d"


def to_ms(unix_s: float) -> int:
    return round(min(max(unix_s, 0.0), _MAX_UNIX_S) * 1000)


def to_s(ms: int) -> float:
    return ms / 1000


def to_ms_or_none(unix_s: float | None) -> int | None:
    return None if unix_s is None else to_ms(unix_s)


def to_s_or_none(ms: int | None) -> float | None:
    return None if ms is None else to_s(ms)


def one_line(text: str) -> str:
    """Return the text in NFC, with single spaces, without controls and lone surrogates.

    PostgreSQL stores no NUL, and no database a lone surrogate.
    """
    shown = "".join(each if each.isprintable() or each in _JOINERS else " " for each in text)
    return unicodedata.normalize("NFC", " ".join(shown.split()))


def fit(text: str, *, chars: int) -> str:
    """Return the text as a column of this width takes it."""
    return one_line(text)[:chars]


def search_key(text: str, *, chars: int) -> str:
    """Return the form of a text in which searches and orders compare it."""
    return unicodedata.normalize("NFKC", one_line(text).casefold())[:chars]


def is_key(number: int) -> bool:
    """Return whether the number can be that of a row."""
    return 0 < number < 2**63


def encode_cursor(*position: str | int) -> str:
    """Return the position of a row in an order as a text without meaning to clients."""
    return base64.urlsafe_b64encode(json.dumps(position, ensure_ascii=False).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """Return the position in a cursor. Raises `InvalidFields` for another text."""
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if [type(each) for each in found] == list(kinds) and all(map(_is_storable, found)):
            return tuple(found)
    except (ValueError, TypeError, RecursionError):
        pass
    raise InvalidFields(fields={"cursor": ["Field `cursor` is not the `next` of another page."]})


def _is_storable(value: str | int) -> bool:
    """Return whether each database takes the value as a parameter."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return "\0" not in value and value == value.encode(errors="replace").decode()
