"""A recipe holds the options of a separation.

It names the variant, travels in the job and stands in the manifest.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from msaas.errors import InvalidOption, UnknownOption, UnknownStem
from msaas.formats import DEFAULT_FORMAT, FLOAT, FORMATS, Format, parse_format
from msaas.models import MODELS, STEMS, complement, parse_model, parse_stem
from msaas.songs import with_variant

#: Hex digits of a variant id.
_VARIANT_DIGITS = 12

RESCALE, CLAMP, UNCLIPPED = "rescale", "clamp", "none"
CLIPS = (RESCALE, CLAMP, UNCLIPPED)
SOURCE_RATE = "source"
SAMPLE_RATES = ("44100", SOURCE_RATE)
#: demucs allows more, at a cost that grows without limit.
MAX_OVERLAP, MAX_SHIFTS = 0.75, 10


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of a request. Each field has its default, which a request need not name.

    `model` is None for the default model of the service, and `stems` is empty for all stems of the model.
    `bitrate` in kbit/s and `bits` of a sample are None for the default of the format.
    """

    model: str | None = None
    stems: tuple[str, ...] = ()
    two_stems: str | None = None
    format: str = DEFAULT_FORMAT
    bitrate: int | None = None
    bits: str | None = None
    clip: str = RESCALE
    sample_rate: str = SAMPLE_RATES[0]
    exact_sum: bool = False
    overlap: float = 0.25
    shifts: int = 0

    @classmethod
    def parse(cls, options: Mapping[str, Any], *, default_model: str = "") -> Self:
        """Read options from a request, a message or a manifest. Empty ones count as absent.

        Numbers and lists may be texts, as in a form. A request that names the defaults of the service, of its
        model or of its format has the recipe of a request that names nothing.

        Raises:
            UnknownOption: listing the known options.
            InvalidOption: the value is invalid, or excludes another option.
            UnknownModel, UnknownStem, UnknownFormat: listing the known values.
        """
        parsed = {}
        for name, value in without_empty(options).items():
            if name not in _PARSERS:
                raise UnknownOption(f"Option {name[:64]!r} is unknown. Known options: {', '.join(_PARSERS)}.")
            parsed[name] = _PARSERS[name](name, value)
        recipe = cls(**parsed)
        recipe._check(model=recipe.model or default_model)
        return recipe._without_defaults(default_model)

    def _check(self, *, model: str) -> None:
        """Raise `InvalidOption` or `UnknownStem` if options do not go together."""
        row = FORMATS[self.format]
        _check_value("bitrate", self.bitrate, row.bit_rates, row)
        _check_value("bits", self.bits, row.bits, row)
        if self.stems and self.two_stems:
            raise InvalidOption("Options `stems` and `two_stems` exclude each other.")
        if model in MODELS:
            _check_stems(self._named_stems, model)
        if self.clip == UNCLIPPED and self.bits != FLOAT:
            raise InvalidOption('Clip "none" needs floats: format "wav" with bits "float".')
        if self.exact_sum:
            self._check_exact_sum(row)

    def _check_exact_sum(self, row: Format) -> None:
        if not row.is_exact or self.bits == FLOAT:
            raise InvalidOption('`exact_sum` needs format "flac" or "wav" with 16 or 24 bits.')
        if self.stems:
            raise InvalidOption("`exact_sum` needs all stems. Leave `stems` out.")
        if self.clip != RESCALE or self.sample_rate == SOURCE_RATE:
            raise InvalidOption(
                "`exact_sum` keeps levels and the sample rate. Leave `clip` and `sample_rate` out."
            )

    def _without_defaults(self, default_model: str) -> Self:
        row, model = FORMATS[self.format], self.model or default_model
        every = MODELS[model].stems if model in MODELS else ()
        return replace(
            self,
            model=None if self.model == default_model else self.model,
            stems=() if self.stems == every else self.stems,
            bitrate=None if self.bitrate in row.bit_rates[:1] else self.bitrate,
            bits=None if self.bits in row.bits[:1] else self.bits,
        )

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults; `parse` reads them back."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        changed = {each.name: values[each.name] for each in fields(self) if values[each.name] != each.default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

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

    def separated(self, *, model: str) -> tuple[str, ...]:
        """Return the stems that `model` has to separate, in the order of its network.

        Raises:
            UnknownStem: the model, which may run in place of another, does not separate one of them.
        """
        wanted = self._named_stems or MODELS[model].stems
        _check_stems(wanted, model)
        return tuple(stem for stem in MODELS[model].stems if stem in wanted)

    @property
    def _named_stems(self) -> tuple[str, ...]:
        return (self.two_stems,) if self.two_stems else self.stems

    def outputs(self, *, model: str) -> tuple[str, ...]:
        """Return the stems of the result when `model` runs."""
        separated = self.separated(model=model)
        return (*separated, *map(complement, separated)) if self.two_stems else separated

    @property
    def format_bit_rate(self) -> int:
        """Return the bit rate in kbit/s, 0 if the format has none."""
        return self.bitrate or next(iter(FORMATS[self.format].bit_rates), 0)

    @property
    def format_bits(self) -> str:
        """Return the bits of a sample, an empty text if the format has none."""
        return self.bits or next(iter(FORMATS[self.format].bits), "")


def without_empty(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that have a value. Clients send `null`, `""` or `[]` in place of no option."""
    return {name: value for name, value in options.items() if value not in (None, "", [])}


def _check_stems(stems: tuple[str, ...], model: str) -> None:
    for stem in stems:
        if stem not in MODELS[model].stems:
            known = ", ".join(MODELS[model].stems)
            raise UnknownStem(f"Model {model} has no stem {stem!r}. Choose one of {known}.")


def _check_value(name: str, value: Any, known: tuple[Any, ...], row: Format) -> None:
    if value is None or value in known:
        return
    choice = f"Choose one of {', '.join(map(str, sorted(known)))}." if known else "Leave it out."
    raise InvalidOption(f"Option {name!r} of format {row.name!r} cannot be {value!r}. {choice}")


# How the value of each option is read: `(name, value) -> value`.


def _text(name: str, value: Any) -> str:
    """Numbers are texts, too: `16` is `"16"`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidOption(f"Option {name!r} is not a text.")
    return value


def _named(parse: Callable[[str], str]) -> Callable[[str, Any], str]:
    return lambda name, value: parse(_text(name, value))


def _one_of(*known: str) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        text = _text(name, value)
        if text not in known:
            raise InvalidOption(f"Option {name!r} cannot be {text[:64]!r}. Choose one of {', '.join(known)}.")
        return text

    return read


def _stems(name: str, value: Any) -> tuple[str, ...]:
    """Read a list, or a text with commas between, into the order of the models."""
    named = value.split(",") if isinstance(value, str) else value
    if not isinstance(named, list | tuple):
        raise InvalidOption(f"Option {name!r} is not a list of stems.")
    chosen = {parse_stem(_text(name, each).strip()) for each in named}
    return tuple(stem for stem in STEMS if stem in chosen)


def _number(kind: type[int] | type[float], *, least: float, most: float) -> Callable[[str, Any], float]:
    def read(name: str, value: Any) -> float:
        try:
            number = kind(value) if isinstance(value, str | int | float) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or isinstance(value, bool) or not least <= number <= most or number != float(value):
            raise InvalidOption(f"Option {name!r} is not a number from {least:g} to {most:g}.")
        return number

    return read


_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def _truth(name: str, value: Any) -> bool:
    text = str(value).lower() if isinstance(value, bool | int | str) else ""
    if text not in (*_TRUE, *_FALSE):
        raise InvalidOption(f"Option {name!r} is neither true nor false.")
    return text in _TRUE


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "model": _named(parse_model),
    "stems": _stems,
    "two_stems": _named(parse_stem),
    "format": _named(parse_format),
    "bitrate": _number(int, least=1, most=1000),
    "bits": _text,
    "clip": _one_of(*CLIPS),
    "sample_rate": _one_of(*SAMPLE_RATES),
    "exact_sum": _truth,
    "overlap": _number(float, least=0, most=MAX_OVERLAP),
    "shifts": _number(int, least=0, most=MAX_SHIFTS),
}
