"""Files of demucs' models: in the folder MODEL_REPO, in the cache of the hub, or on the hub."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from msaas.errors import ModelUnavailable
from msaas.models import MODELS
from msaas_worker.separators.families import ModelMissing
from msaas_worker.separators.hub import Hub

#: A signature in a bag becomes a file name.
_SIGNATURE = re.compile(r"[A-Za-z0-9_.]+")
_MAX_REASON_CHARS = 200


@dataclass(frozen=True)
class ModelFiles:
    """The definition of a bag (`models`, optional `weights` and `segment`) and a file for each network."""

    definition: Path
    bag: dict[str, Any]
    weights: tuple[Path, ...]


@dataclass(frozen=True)
class Repository:
    """`folder` is MODEL_REPO."""

    folder: Path | None
    hub: Hub

    def find(self, model: str) -> ModelFiles:
        """Return the files of a model from this machine.

        Raises:
            ModelMissing: there are none. The error says how to get them.
            ModelUnavailable: a definition is invalid.
        """
        if self.folder and (files := find_in_folder(self.folder, model)):
            return files
        try:
            return _collect(model, self.hub.find)
        except FileNotFoundError:
            raise ModelMissing(self._explain(model, "and the cache of the hub has no copy of it")) from None

    def fetch(self, model: str) -> None:
        """Download the files of a model, unless they are on this machine. Raises `ModelUnavailable`."""
        with suppress(ModelMissing):
            self.find(model)
            return
        try:
            download(model, self.hub)
        except OSError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:_MAX_REASON_CHARS]
            cause = f"and {self.hub.endpoint} did not deliver it ({reason})"
            raise ModelUnavailable(self._explain(model, cause)) from error

    def _explain(self, model: str, cause: str) -> str:
        folder = f"it is not in MODEL_REPO={self.folder}" if self.folder else "MODEL_REPO is not set"
        return (
            f"Model {model} is not on this machine: {folder}, {cause}. "
            f"Put {model}.yaml and the weights that it names into a folder and set MODEL_REPO to it, "
            f"or let the worker reach {self.hub.endpoint} once. "
            "MODEL_FALLBACK=starter runs the small model of this package instead."
        )


def repository_of(model: str) -> str:
    """Return the `<owner>/<name>` of the model on the hub."""
    return urlsplit(MODELS[model].source).path.strip("/")


def find_in_folder(folder: Path, model: str) -> ModelFiles | None:
    """Return the model's files in the folder, None if it has no definition of the model.

    Raises:
        ModelUnavailable: the definition is invalid, or its weights are missing or ambiguous.
    """
    definition = folder / f"{model}.yaml"
    if not definition.is_file():
        return None
    bag = read_bag(definition)
    return ModelFiles(definition, bag, tuple(_find_weights(folder, each) for each in bag["models"]))


def read_bag(definition: Path) -> dict[str, Any]:
    """Return the definition of a bag: `models`, and optionally `weights` and `segment`.

    Raises:
        ModelUnavailable: the definition is invalid.
    """
    with suppress(yaml.YAMLError, UnicodeDecodeError):
        bag = yaml.safe_load(definition.read_text(encoding="utf-8"))
        if isinstance(bag, dict) and bag.get("models") and all(map(_is_signature, bag["models"])):
            return bag
    raise ModelUnavailable(f"{definition.name} is not a valid definition of a model.")


def download(model: str, hub: Hub) -> ModelFiles:
    """Return the files of a model, downloaded unless they are in the cache of the hub.

    Raises:
        OSError: the hub did not deliver a file.
        ModelUnavailable: the definition is invalid.
    """
    return _collect(model, hub.fetch)


def _is_signature(value: Any) -> bool:
    return isinstance(value, str) and bool(_SIGNATURE.fullmatch(value))


def _find_weights(folder: Path, signature: str) -> Path:
    """Return `<signature>[-<checksum>].th` or `.safetensors`."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in {".th", ".safetensors"} and path.stem.split("-")[0] == signature
    ]
    if not found:
        raise ModelUnavailable(f"{folder} has neither {signature}.th nor {signature}.safetensors.")
    if len(found) > 1:
        raise ModelUnavailable(
            f"{folder} has more than one file for {signature}: {found[0].name}, {found[1].name}."
        )
    return found[0]


def _collect(model: str, get: Callable[[str, str], Path]) -> ModelFiles:
    """Return the files that `get` returns for a repository and a file name of the hub."""
    repository = repository_of(model)
    definition = get(repository, f"{model}.yaml")
    bag = read_bag(definition)
    return ModelFiles(
        definition, bag, tuple(get(repository, f"{signature}.safetensors") for signature in bag["models"])
    )
