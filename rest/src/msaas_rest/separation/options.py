"""The options of a request say how to work on the song; what differs from the default names a variant."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msaas.errors import InvalidCallback, UnknownFormat, UnknownModel, UnknownStem
from msaas.jobs import Callback
from msaas.songs import with_variant
from msaas.stems import MODELS, parse_model
from msaas.webhook_secrets import parse_webhook_secret

_VARIANT_DIGITS = 12
#: What a callback may carry; it waits in Redis.
_CALLBACK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Options:
    """`model` is None for the service's default."""

    model: str | None = None

    def job_id(self, songhash: str) -> str:
        """Return the song's own hash for the default, `<sha256>.<variant>` for anything else."""
        different = {name: value for name, value in vars(self).items() if value is not None}
        return with_variant(songhash, _variant(different) if different else "")

    def stems(self, default_model: str) -> tuple[str, ...]:
        return MODELS[self.model or default_model]


def _variant(options: Mapping[str, Any]) -> str:
    canonical = json.dumps(options, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_VARIANT_DIGITS]


def parse_options(fields: Mapping[str, Any], *, default_model: str) -> Options:
    """Raises `UnknownModel`, `UnknownFormat`, `UnknownStem`."""
    if fields.get("format", "mp3") != "mp3":
        raise UnknownFormat("Stems are made as mp3.")
    if fields.get("stems"):
        raise UnknownStem("All stems of a model are made; a choice of them is not taken.")
    name = fields.get("model") or default_model
    if not isinstance(name, str):
        raise UnknownModel("Its name is not a text.")
    model = parse_model(name)
    return Options(None if model == default_model else model)


def parse_callback(value: Any) -> Callback | None:
    """Accept any URL: whether it may be called is decided when it is, and never refuses the song.

    Raises:
        InvalidCallback: it is not an object with a url, too long, or its secret cannot sign.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidCallback("It is not an object.")
    url = value.get("url")
    if not isinstance(url, str) or not url.strip():
        raise InvalidCallback("Its url is missing.")
    if len(json.dumps(value)) > _CALLBACK_BYTES:
        raise InvalidCallback(f"It has more than {_CALLBACK_BYTES} bytes.")
    if any(0xD800 <= ord(character) < 0xE000 for character in url):
        raise InvalidCallback("Its url is not Unicode text.")
    secret = value.get("secret")
    if secret is not None and not isinstance(secret, str):
        raise InvalidCallback("Its secret is not a text.")
    return Callback(url, value.get("data"), parse_webhook_secret(secret) if secret else None)
