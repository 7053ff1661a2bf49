"""A manifest names the model that ran and the stems it made. It is written last: its presence means done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from msaas.errors import UnknownStem
from msaas.recipe import Recipe


@dataclass(frozen=True)
class StemFile:
    """A stem in the output bucket, with its size and its SHA-256 in hex."""

    file: str
    size_bytes: int
    sha256: str
    #: Fields of a newer version. An edit keeps them.
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def extension(self) -> str:
        return self.file.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`samples` is the length of the song at `samplerate` Hz. Every stem has that length."""

    job_id: str
    model: str
    weights_sha256: str
    engine: str
    samples: int
    samplerate: int
    stems: Mapping[str, StemFile]
    #: The options of the recipe. A newer version may have written some that are unknown here.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: The title in the tags of the song, an empty text if it has none.
    title: str = ""
    #: Fields of a newer version. An edit keeps them.
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def encode(self) -> bytes:
        found = _with_extra(self)
        found["songhash"] = found.pop("job_id")
        if not self.title:
            del found["title"]
        found["stems"] = {stem: _with_extra(file) for stem, file in self.stems.items()}
        return json.dumps(found, indent=1, sort_keys=True).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Manifest":
        """Read the JSON of a neighbouring version: further fields are kept as `extra`.

        Raises:
            ValueError: the text is not a manifest.
        """
        try:
            found = json.loads(text)
            return cls(
                job_id=found["songhash"],
                model=found["model"],
                weights_sha256=found["weights_sha256"],
                engine=found["engine"],
                samples=found["samples"],
                samplerate=found["samplerate"],
                stems={stem: _stem_file(entry) for stem, entry in found["stems"].items()},
                options=dict(found.get("options") or {}),
                title=str(found.get("title") or ""),
                extra=_extra(cls, found, renamed=("songhash",)),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from None

    def answers(self, recipe: Recipe, *, model: str) -> bool:
        """Return whether this is the whole result of `recipe`, made by `model`.

        The result of another model or of other options is not, nor is one with a stem removed. An option that
        only names the model that ran makes no difference.
        """
        return (
            self.model == model
            and _besides(model, self.options) == _besides(model, recipe.options())
            and set(recipe.outputs(model=model)) <= set(self.stems)
        )

    def without(self, stem: str) -> "Manifest":
        """Raises `UnknownStem`."""
        if stem not in self.stems:
            raise UnknownStem(f"Job {self.job_id} has no stem {stem!r}.")
        return replace(self, stems={name: file for name, file in self.stems.items() if name != stem})


def _stem_file(entry: Mapping[str, Any]) -> StemFile:
    return StemFile(entry["file"], entry["size_bytes"], entry["sha256"], _extra(StemFile, entry))


def _besides(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if (name, value) != ("model", model)}


def _with_extra(value: Manifest | StemFile) -> dict[str, Any]:
    """Return the fields of `value`, with those of a newer version beside them."""
    known = dict(vars(value))
    return {**known.pop("extra"), **known}


def _extra(
    kind: type[Manifest | StemFile], found: Mapping[str, Any], *, renamed: tuple[str, ...] = ()
) -> dict[str, Any]:
    known = {each.name for each in fields(kind)} | set(renamed)
    return {name: value for name, value in found.items() if name not in known}
