"""A webhook secret is 24 to 64 bytes as base64, with or without `whsec_` before it (Standard Webhooks)."""

import base64
import binascii

from msaas.errors import InvalidCallback

_PREFIX = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64


def parse_webhook_secret(text: str) -> str:
    """Return `text` if it can sign.

    Raises:
        InvalidCallback: it is not base64, or can be guessed; what it is stays untold.
    """
    encoded = text.removeprefix(_PREFIX)
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except (ValueError, binascii.Error):
        raise InvalidCallback("Its secret is not base64.") from None
    if not _FEWEST_BYTES <= size <= _MOST_BYTES:
        raise InvalidCallback(f"Its secret has {size} bytes, not {_FEWEST_BYTES} to {_MOST_BYTES}.")
    return text
