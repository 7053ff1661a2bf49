"""Strict base64: lines may end with CR and LF, any other foreign character is refused, not skipped."""

import base64
import binascii
from collections.abc import Iterable
from typing import BinaryIO

import pybase64

from msaas.errors import InvalidBase64

_LINE_BREAKS = b"\r\n"


def write_decoded(chunks: Iterable[bytes], file: BinaryIO) -> None:
    """Decode the chunks of one text into the file.

    Raises:
        InvalidBase64: there is a foreign character, or padding is wrong or in the middle of the text.
    """
    left = b""
    is_first = True
    for chunk in chunks:
        if is_first and chunk[:5].lower() == b"data:":
            raise InvalidBase64("The song is a data: URL. Send only the base64 behind its comma.")
        is_first = False
        left += _without_line_breaks(chunk)
        # The last quad stays for the end: only there is padding allowed.
        whole = max(0, len(left) // 4 * 4 - 4)
        file.write(_decode(left[:whole]))
        left = left[whole:]
    file.write(_decode_end(left))


def _without_line_breaks(chunk: bytes) -> bytes:
    return chunk.translate(None, _LINE_BREAKS) if b"\n" in chunk or b"\r" in chunk else chunk


def _decode(quads: bytes) -> bytes:
    """Decode quads without padding: three bytes for each."""
    decoded = _decode_strictly(quads)
    if len(decoded) * 4 != len(quads) * 3:
        raise InvalidBase64("The song is not base64: it holds padding in the middle.")
    return decoded


def _decode_end(quads: bytes) -> bytes:
    """Decode the end, and encode it again: unused bits may hold anything."""
    decoded = _decode_strictly(quads)
    if base64.b64encode(decoded) != quads:
        raise InvalidBase64("The song is not base64: its end is wrong.")
    return decoded


def _decode_strictly(quads: bytes) -> bytes:
    try:
        return pybase64.b64decode(quads, validate=True)
    except binascii.Error as error:
        raise InvalidBase64(f"The song is not base64: {error}.") from None
