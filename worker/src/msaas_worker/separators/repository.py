"""Where a model's files are: the folder MODEL_REPO, then the hub's cache, then the hub."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from msaas.errors import ModelUnavailable
from msaas_worker.separators.hub import Hub

#: A name in a bag becomes a file's name.
_SIGNATURE = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True)
class ModelFiles:
    """A bag as its yaml tells it, and the file of each of its models."""

    weights: tuple[Path, ...]
    bag: dict[str, Any]
    #: Whether it came from outside this package.
    is_foreign: bool = True


@dataclass(frozen=True)
class Repository:
    """`folder` is MODEL_REPO."""

    folder: Path | None
    hub: Hub

    @contextmanager
    def files(self, name: str) -> Iterator[ModelFiles]:
        """Give the files of a model for as long as it takes to read them.

        Raises:
            ModelUnavailable: it is nowhere; the error says how to get it.
        """
        if self.folder and (local := in_folder(self.folder, name)):
            yield local
            return
        with self.hub.open(name) as fetch:
            try:
                files = _from_hub(name, fetch)
            except OSError as error:
                raise ModelUnavailable(self._how_to_get(name, error)) from error
            yield files

    def _how_to_get(self, name: str, error: Exception) -> str:
        folder = f"is not in MODEL_REPO={self.folder}" if self.folder else "MODEL_REPO is not set"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return (
            f"{name}: {folder}, nor is it in the hub's cache, and the hub gave no answer ({reason[:200]}). "
            f"Put {name}.yaml and the weights it names into a folder and set MODEL_REPO to it, "
            f"or let the worker reach {self.hub.endpoint} once. "
            f"MODEL_FALLBACK=starter lets the small model of this package do the work."
        )


def in_folder(folder: Path, name: str) -> ModelFiles | None:
    """Return the model's files in the folder, None when its yaml is not there.

    Raises:
        ModelUnavailable: the yaml is there, but not what it names.
    """
    definition = folder / f"{name}.yaml"
    if not definition.is_file():
        return None
    bag = read_bag(definition)
    return ModelFiles(tuple(_weights(folder, each) for each in bag["models"]), bag)


def read_bag(definition: Path) -> dict[str, Any]:
    """Return `models`, and where there are any `weights` and `segment`. Raises `ModelUnavailable`."""
    with suppress(yaml.YAMLError, UnicodeDecodeError):
        bag = yaml.safe_load(definition.read_text(encoding="utf-8"))
        if isinstance(bag, dict) and bag.get("models") and all(map(_is_signature, bag["models"])):
            return bag
    raise ModelUnavailable(f"{definition.name} is not the definition of a model.")


def _is_signature(value: Any) -> bool:
    return isinstance(value, str) and bool(_SIGNATURE.fullmatch(value))


def _weights(folder: Path, signature: str) -> Path:
    """Return `<signature>[-<checksum>].th` or `.safetensors`."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in {".th", ".safetensors"} and path.stem.split("-")[0] == signature
    ]
    if not found:
        raise ModelUnavailable(f"{folder} names {signature}, but has neither its .th nor its .safetensors.")
    if len(found) > 1:
        raise ModelUnavailable(
            f"{folder} has more than one file for {signature}: {found[0].name}, {found[1].name}."
        )
    return found[0]


def _from_hub(name: str, fetch: Callable[[str], Path]) -> ModelFiles:
    bag = read_bag(fetch(f"{name}.yaml"))
    weights = tuple(fetch(f"{signature}.safetensors") for signature in bag["models"])
    return ModelFiles(weights, bag)
