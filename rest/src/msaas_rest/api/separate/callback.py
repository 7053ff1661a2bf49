"""The `callback` field of a request."""

import json
from typing import Any

from msaas.errors import InvalidCallback
from msaas.jobs import Callback, check_strict_json, parse_events
from msaas.webhook_secrets import parse_webhook_secret

#: Callbacks wait in Redis.
_MAX_BYTES = 64 * 1024


def parse_callback(value: Any) -> Callback | None:
    """Read the field. An empty one (`null`, `""`, `{}`, an object with an empty url) is None.

    Any URL is accepted: a refused destination refuses the callback at its delivery, never the song.

    Raises:
        InvalidCallback: the field is not an object with a url, is too long, holds an infinite number or an
        unknown event, or its secret cannot sign.
    """
    if value is None or value == "" or value == {}:
        return None
    if not isinstance(value, dict):
        raise InvalidCallback(
            "Field `callback` is not an object. Send an object with a `url`, or leave it out."
        )
    check_strict_json(value)
    if len(json.dumps(value)) > _MAX_BYTES:
        raise InvalidCallback(f"Field `callback` is too long. The limit is {_MAX_BYTES} bytes.")
    url = _parse_url(value)
    if not url:
        return None
    secret, events = _parse_secret(value.get("secret")), parse_events(value.get("events"))
    return Callback(url, value.get("data"), secret, events=events)


def _parse_url(value: dict[str, Any]) -> str:
    """Return an empty text for an empty url, which clients send in place of no callback."""
    if "url" not in value:
        raise InvalidCallback(
            "Field `callback.url` is missing. Send the URL to call, or leave `callback` out."
        )
    url = value["url"]
    if url is None:
        return ""
    if not isinstance(url, str):
        raise InvalidCallback("Field `callback.url` is not a text. Send the URL to call.")
    if any(0xD800 <= ord(character) < 0xE000 for character in url):
        raise InvalidCallback("Field `callback.url` is not Unicode text.")
    return url if url.strip() else ""


def _parse_secret(secret: Any) -> str | None:
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise InvalidCallback("Field `callback.secret` is not a text. Send 24 to 64 bytes as base64.")
    return parse_webhook_secret(secret) if secret else None
