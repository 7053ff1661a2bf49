"""A recipe holds the options of a separation.

It names the variant, travels in the job and stands in the manifest.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from msaas.errors import MsaasError, UnknownFormat, UnknownModel, UnknownOption
from msaas.formats import DEFAULT_FORMAT, parse_format
from msaas.models import MODELS, parse_model
from msaas.songs import with_variant

#: Hex digits of a variant id.
_VARIANT_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of a request. Each field has its default, which a request need not name.

    `model` is None for the default model of the service.
    """

    model: str | None = None
    format: str = DEFAULT_FORMAT

    @classmethod
    def parse(cls, options: Mapping[str, Any], *, default_model: str = "") -> Self:
        """Read options from a request, a message or a manifest. Empty ones count as absent.

        A request that names `default_model` has the default recipe.

        Raises:
            UnknownOption: listing the known options.
            UnknownModel, UnknownFormat: listing the known values.
        """
        parsed = {}
        for name, value in without_empty(options).items():
            if name not in _PARSERS:
                raise UnknownOption(f"Option {name[:64]!r} is unknown. Known options: {', '.join(_PARSERS)}.")
            parsed[name] = _PARSERS[name](value)
        if parsed.get("model") == default_model:
            del parsed["model"]
        return cls(**parsed)

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults; `parse` reads them back."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {each.name: values[each.name] for each in fields(self) if values[each.name] != each.default}

    def canonical_json(self) -> str:
        """Return the same text for the same recipe, independent of the order of the request."""
        return json.dumps(self.options(), sort_keys=True, separators=(",", ":"))

    def variant(self) -> str:
        """Return the variant's 12 hex digits, or an empty text for the default recipe."""
        if not self.options():
            return ""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:_VARIANT_DIGITS]

    def job_id(self, song_hash: str) -> str:
        """Return `<sha256>` for the default recipe, `<sha256>.<variant>` for any other."""
        return with_variant(song_hash, self.variant())

    def stems(self, *, model: str) -> tuple[str, ...]:
        """Return the stems of the result when `model` runs, in the order of its network."""
        return MODELS[model].stems


def without_empty(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that have a value. Clients send `null`, `""` or `[]` in place of no option."""
    return {name: value for name, value in options.items() if value not in (None, "", [])}


def _text(parse: Callable[[str], str], error: type[MsaasError], name: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise error(f"Option {name!r} is not a text.")
        return parse(value)

    return read


#: How the value of each option is read.
_PARSERS: dict[str, Callable[[Any], Any]] = {
    "model": _text(parse_model, UnknownModel, "model"),
    "format": _text(parse_format, UnknownFormat, "format"),
}
