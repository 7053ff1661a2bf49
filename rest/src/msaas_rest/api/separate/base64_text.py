"""Strict base64: lines may end with CR and LF, any other foreign character is refused, not skipped."""

import base64
import binascii
from typing import BinaryIO

from msaas.errors import InvalidBase64

_CHUNK_CHARACTERS = 1024 * 1024
_LINE_BREAKS = b"\r\n"


def write_decoded(text: str, file: BinaryIO, *, chunk_characters: int = _CHUNK_CHARACTERS) -> None:
    """Decode the text into the file, `chunk_characters` at a time.

    Raises:
        InvalidBase64: there is a foreign character, or padding is wrong or in the middle of the text.
    """
    if text[:5].lower() == "data:":
        raise InvalidBase64("The song is a data: URL. Send only the base64 behind its comma.")
    left = b""
    for start in range(0, len(text), chunk_characters):
        left += _ascii(text[start : start + chunk_characters]).translate(None, _LINE_BREAKS)
        whole = len(left) // 4 * 4
        # The end stays for the last chunk: only there is padding allowed.
        whole = max(0, whole - 4)
        file.write(_decode(left[:whole], padded=False))
        left = left[whole:]
    file.write(_decode(left, padded=True))


def _ascii(chunk: str) -> bytes:
    try:
        return chunk.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidBase64("The song is not base64: it holds characters that are not ASCII.") from None


def _decode(quads: bytes, *, padded: bool) -> bytes:
    """Decode and encode again: only the same text was base64."""
    try:
        decoded = base64.b64decode(quads)
    except binascii.Error as error:
        raise InvalidBase64(f"The song is not base64: {error}.") from None
    if base64.b64encode(decoded) != quads or (b"=" in quads and not padded):
        raise InvalidBase64("The song is not base64: it holds foreign characters or wrong padding.")
    return decoded
