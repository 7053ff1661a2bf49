"""Files of weights. They are read without running code that they name: only listed classes are allowed."""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from demucs.hf import load_safetensors_model
from demucs.states import load_model
from safetensors import SafetensorError, safe_open

from msaas.errors import ModelUnavailable
from msaas.models import MODELS
from msaas_worker.audio.decoded import CHANNELS

_CHECKSUM = re.compile(r"-([0-9a-f]{8,64})$")
#: The cache of the hub stores a file under its SHA-256.
_BLOB = re.compile(r"[0-9a-f]{64}")
_MAX_REASON_CHARS = 200


@dataclass(frozen=True)
class Checksum:
    """`is_verified` is true if the name of the file contains the expected checksum."""

    sha256: str
    is_verified: bool


def verify_checksum(path: Path) -> Checksum:
    """Return the SHA-256 of the file, compared with the checksum in its name.

    Raises:
        ModelUnavailable: the two differ.
    """
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    expected = _expected_checksum(path)
    if expected and not sha256.startswith(expected):
        raise ModelUnavailable(f"{path.name} is damaged: its SHA-256 begins with {sha256[: len(expected)]}.")
    return Checksum(sha256, expected is not None)


def _expected_checksum(path: Path) -> str | None:
    in_name = _CHECKSUM.search(path.stem)
    if in_name:
        return in_name.group(1)
    blob = path.resolve().name
    return blob if _BLOB.fullmatch(blob) else None


def join_checksums(checksums: Sequence[Checksum]) -> str:
    """Return the checksum of one file, or the checksum of the checksums of several."""
    sha256 = [each.sha256 for each in checksums]
    return sha256[0] if len(sha256) == 1 else hashlib.sha256("\n".join(sha256).encode()).hexdigest()


def read_network(path: Path, *, classes: Collection[type]) -> Any:
    """Return the network in a `.th` or `.safetensors` file, in evaluation mode.

    Raises:
        ModelUnavailable: the file is damaged, or its class is not among `classes`.
    """
    read = _read_safetensors if path.suffix == ".safetensors" else _read_th
    try:
        network = read(path, classes)
    except ModelUnavailable:
        raise
    except Exception as error:  # A damaged file can raise any exception.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelUnavailable(f"{path.name} cannot be loaded: {reason[:_MAX_REASON_CHARS]}") from error
    return network.eval()


def _read_th(path: Path, classes: Collection[type]) -> Any:
    with torch.serialization.safe_globals([*classes, Fraction]):
        package = torch.load(path, map_location="cpu", weights_only=True)
    if package.get("klass") not in classes:
        raise ModelUnavailable(f"{path.name} names a class that is not a model.")
    return load_model(package)


def _read_safetensors(path: Path, classes: Collection[type]) -> Any:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ModelUnavailable(f"{path.name} is damaged: {error}") from None
    allowed = {f"{each.__module__}.{each.__qualname__}" for each in classes}
    if metadata.get("klass") not in allowed or "structure" in metadata:
        raise ModelUnavailable(f"{path.name} names {metadata.get('klass')!r}, which is not a model.")
    return load_safetensors_model(path)


def check_network(model: str, network: Any) -> None:
    """Compare the network with the row of the model in `MODELS`. Raises `ModelUnavailable`."""
    row = MODELS[model]
    found = (tuple(network.sources), network.samplerate, network.audio_channels)
    if found != (row.stems, row.samplerate, CHANNELS):
        raise ModelUnavailable(
            f"The weights found for {model} make {', '.join(network.sources)} at {network.samplerate} Hz "
            f"with {network.audio_channels} channel(s). Put those of {model} in their place."
        )
