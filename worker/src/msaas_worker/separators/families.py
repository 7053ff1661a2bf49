"""Model families. The family in a model's row of `msaas.models.MODELS` selects the code that loads the model.

A new family is a folder beside this module, a line in `_LOADERS` and rows of `MODELS`.
"""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

from msaas.errors import ModelUnavailable
from msaas.models import MODELS
from msaas_worker.separators import Precision, Separator
from msaas_worker.separators.hub import Hub

#: Modules with `open_family(options)`. They are imported at first use, because each imports torch.
_LOADERS = {
    "demucs": "msaas_worker.separators.demucs.loader",
    "starter": "msaas_worker.separators.starter.loader",
}


class ModelMissing(ModelUnavailable):
    """The model is not on this machine."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """`device` is `cpu` or `cuda`, `repo` the folder MODEL_REPO."""

    device: str = "cpu"
    precision: Precision = "auto"
    repo: Path | None = None
    hub: Hub = field(default_factory=Hub)


class Family(Protocol):
    """The models of one family."""

    def load(self, model: str) -> Separator:
        """Load the model from this machine; the network is not used.

        Raises:
            ModelMissing: the files of the model are absent.
            ModelUnavailable: the files are damaged or unsuitable.
        """

    def is_present(self, model: str) -> bool:
        """Return whether the files of the model are on this machine. They are not read."""

    def fetch(self, model: str) -> None:
        """Download the files of the model, unless they are on this machine. Raises `ModelUnavailable`."""


class Families:
    """Opens each family once."""

    def __init__(self, options: LoadOptions) -> None:
        self._options = options
        self._open: dict[str, Family] = {}

    def family_of(self, model: str) -> Family:
        name = MODELS[model].family
        if name not in self._open:
            self._open[name] = import_module(_LOADERS[name]).open_family(self._options)
        return self._open[name]


def load_model(model: str, options: LoadOptions) -> Separator:
    """Load one model from this machine. Raises `ModelUnavailable`."""
    return Families(options).family_of(model).load(model)
