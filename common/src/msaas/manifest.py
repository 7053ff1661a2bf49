"""A manifest says which model made which stems; it is written last, and its presence means done."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from msaas.errors import UnknownStem


@dataclass(frozen=True)
class StemFile:
    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """`samples` is the length of the song at `samplerate` Hz; every stem has that length."""

    songhash: str
    model: str
    weights_sha256: str
    engine: str
    samples: int
    samplerate: int
    stems: Mapping[str, StemFile]
    #: What the request asked for beside the defaults.
    options: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Manifest":
        """Raises `ValueError` if the text is not a manifest."""
        try:
            fields = json.loads(text)
            stems = {stem: StemFile(**entry) for stem, entry in fields.pop("stems").items()}
            return cls(**fields, stems=stems)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error}") from None

    def answers(self, *, model: str, stems: tuple[str, ...]) -> bool:
        """Whether this is the result asked for: another model's, or one with a stem removed, is not."""
        return self.model == model and set(stems) <= set(self.stems)

    def without(self, stem: str) -> "Manifest":
        if stem not in self.stems:
            raise UnknownStem(stem)
        return replace(self, stems={name: file for name, file in self.stems.items() if name != stem})
