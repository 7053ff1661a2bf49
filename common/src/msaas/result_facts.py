"""Facts about the result of a worker without a store, as headers of its upload. They may be missing."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from msaas.errors import UnknownModel
from msaas.models import parse_model
from msaas.printable import printable
from msaas.songs import is_sha256

#: The model of a worker that names none.
UNKNOWN = "unknown"
_MODEL, _WEIGHTS, _ENGINE = "Msaas-Model", "Msaas-Weights-Sha256", "Msaas-Engine"
_MAX_ENGINE_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class ResultFacts:
    """The model that ran, the SHA-256 of its weights, and the program. Texts are empty if not known."""

    model: str = UNKNOWN
    weights_sha256: str = ""
    engine: str = ""

    def headers(self) -> dict[str, str]:
        return {_MODEL: self.model, _WEIGHTS: self.weights_sha256, _ENGINE: self.engine}

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "ResultFacts":
        """Read the headers of an upload. A value that is invalid counts as missing."""
        model, weights = UNKNOWN, headers.get(_WEIGHTS, "")
        with suppress(UnknownModel):
            model = parse_model(headers.get(_MODEL, ""))
        return cls(
            model=model,
            weights_sha256=weights if is_sha256(weights) else "",
            engine=printable(headers.get(_ENGINE, ""), max_chars=_MAX_ENGINE_CHARS),
        )
