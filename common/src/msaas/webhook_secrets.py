"""Webhook secrets: 24 to 64 bytes as base64, with or without `whsec_` before it (Standard Webhooks)."""

import base64
import binascii

from msaas.errors import InvalidCallback

_PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64


def parse_webhook_secret(text: str) -> str:
    """Return `text` if it can sign.

    Raises:
        InvalidCallback: it is not base64, or has too few bytes to be safe. The error does not show it.
    """
    encoded = text.removeprefix(_PREFIX)
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except (ValueError, binascii.Error):
        raise InvalidCallback("The webhook secret is not base64.") from None
    if not _MIN_BYTES <= size <= _MAX_BYTES:
        raise InvalidCallback(f"The webhook secret has {size} bytes. Use {_MIN_BYTES} to {_MAX_BYTES}.")
    return text
