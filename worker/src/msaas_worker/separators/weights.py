"""Weights are read without running what they name: the classes they may name are on a list."""

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs
from demucs.states import load_model
from safetensors import SafetensorError, safe_open

from msaas.errors import ModelUnavailable
from msaas_worker.separators.starter import Starter

#: All that a model may be; anything else that a file names is refused.
_CLASSES = (HTDemucs, HDemucs, Demucs, Starter)
_CLASS_NAMES = {f"{each.__module__}.{each.__qualname__}" for each in _CLASSES}
_CHECKSUM = re.compile(r"-([0-9a-f]{8,64})$")
#: The hub's cache stores a blob under its SHA-256.
_BLOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Checksum:
    """`is_verified` tells whether the file's name said what it should be."""

    sha256: str
    is_verified: bool


def checksum(path: Path) -> Checksum:
    """Return the SHA-256 of the file, held against the one in its name.

    Raises:
        ModelUnavailable: the file is not what its name says.
    """
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    expected = _expected(path)
    if expected and not sha256.startswith(expected):
        raise ModelUnavailable(f"{path.name} is damaged: its SHA-256 begins with {sha256[: len(expected)]}.")
    return Checksum(sha256, expected is not None)


def _expected(path: Path) -> str | None:
    in_name = _CHECKSUM.search(path.stem)
    if in_name:
        return in_name.group(1)
    blob = path.resolve().name
    return blob if _BLOB.fullmatch(blob) else None


def read_model(path: Path) -> Any:
    """Return the model in a `.th` or `.safetensors` file.

    Raises:
        ModelUnavailable: it is neither, or it names a class that is no model.
    """
    try:
        model = _read_safetensors(path) if path.suffix == ".safetensors" else _read_th(path)
    except ModelUnavailable:
        raise
    except Exception as error:  # Damaged files fail in as many ways as there are bytes.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelUnavailable(f"{path.name} cannot be loaded: {reason[:200]}") from error
    return model.eval()


def _read_th(path: Path) -> Any:
    with torch.serialization.safe_globals([*_CLASSES, Fraction]):
        package = torch.load(path, map_location="cpu", weights_only=True)
    if package.get("klass") not in _CLASSES:
        raise ModelUnavailable(f"{path.name} names a class that is not a model.")
    return load_model(package)  # type: ignore[no-untyped-call]


def _read_safetensors(path: Path) -> Any:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ModelUnavailable(f"{path.name} is damaged: {error}") from None
    if metadata.get("klass") not in _CLASS_NAMES or "structure" in metadata:
        raise ModelUnavailable(f"{path.name} names {metadata.get('klass')!r}, which is not a model.")
    return load_safetensors_model(path)
