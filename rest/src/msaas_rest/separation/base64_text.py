"""Base64 is taken literally: CR and LF may break its lines, anything else foreign is refused, not skipped."""

import base64
import binascii
from typing import BinaryIO

from msaas.errors import InvalidBase64

_PIECE_CHARACTERS = 1024 * 1024
_LINE_BREAKS = b"\r\n"


def write_decoded(text: str, file: BinaryIO) -> None:
    """Write the bytes that the text stands for.

    Raises:
        InvalidBase64: a foreign character (`data:…`, blanks), or padding that is wrong or amid the text.
    """
    left = b""
    for start in range(0, len(text), _PIECE_CHARACTERS):
        left += _ascii(text[start : start + _PIECE_CHARACTERS]).translate(None, _LINE_BREAKS)
        whole = len(left) // 4 * 4
        # The end stays for the last piece, for only there may padding be.
        whole = max(0, whole - 4)
        file.write(_decoded(left[:whole], padded=False))
        left = left[whole:]
    file.write(_decoded(left, padded=True))


def _ascii(piece: str) -> bytes:
    try:
        return piece.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidBase64("It holds characters that are not ASCII.") from None


def _decoded(quads: bytes, *, padded: bool) -> bytes:
    """A text is base64 exactly if encoding what it decodes to gives it again."""
    try:
        decoded = base64.b64decode(quads)
    except binascii.Error as error:
        raise InvalidBase64(f"{error}.") from None
    if base64.b64encode(decoded) != quads or (b"=" in quads and not padded):
        raise InvalidBase64("It holds foreign characters or wrong padding.")
    return decoded
