"""The models of this worker: the default one stays loaded, and of the others the last one asked for."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from msaas import log_info
from msaas.errors import ModelUnavailable
from msaas.stems import MODELS, STARTER
from msaas_worker.decoded import SAMPLERATE
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.devices import choose_device, usable_cores
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.repository import ModelFiles, Repository
from msaas_worker.separators.weights import read_model, verified_sha256

_STARTER_FOLDER = Path(__file__).parent / "starter"


class Library:
    """Implements `msaas_worker.separators.Separators`."""

    def __init__(self, load: Callable[[str], Separator], *, default: str, fallback: str = "") -> None:
        self._load = load
        self._default = default
        self._fallback = fallback
        self._loaded: dict[str, Separator] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> Separator:
        with self._lock:
            if model not in self._loaded:
                separator = self._load_or_fall_back(model)
                self._forget_others()
                self._loaded[model] = separator
            return self._loaded[model]

    def _load_or_fall_back(self, model: str) -> Separator:
        try:
            return self._load(model)
        except ModelUnavailable as error:
            if not self._fallback or model == self._fallback:
                raise
            log_info("model_fallback", wanted=model, runs=self._fallback, reason=error.detail)
            return self._load(self._fallback)

    def _forget_others(self) -> None:
        self._loaded = {name: kept for name, kept in self._loaded.items() if name == self._default}


def open_library(
    *, default: str, repo: Path | None, fallback: str, device: str, precision: str, hub: Hub | None = None
) -> Library:
    """Return the library of this process; nothing is loaded before it is asked for.

    Raises:
        DeviceUnavailable: `device` is `cuda` and there is none.
    """
    chosen = choose_device(device)
    torch.set_num_threads(usable_cores())
    repository = Repository(repo, hub or Hub())

    def load(model: str) -> Separator:
        return load_separator(model, repository, device=chosen, precision=precision)

    return Library(load, default=default, fallback=fallback)


def load_separator(model: str, repository: Repository, *, device: str, precision: str) -> Separator:
    """Raises `ModelUnavailable`, saying how to get the model."""
    if model == STARTER:
        return _separator(model, _starter_files(), device=device, precision=precision)
    with repository.files(model) as files:
        return _separator(model, files, device=device, precision=precision)


def _starter_files() -> ModelFiles:
    weights = _STARTER_FOLDER / f"{STARTER}.safetensors"
    if not weights.is_file():
        raise ModelUnavailable("This copy of the package was built without its starter model.")
    return ModelFiles((weights,), {"models": [STARTER]}, "package")


def _separator(model: str, files: ModelFiles, *, device: str, precision: str) -> Separator:
    sha256 = [verified_sha256(path) for path in files.weights]
    bag = _bag(model, [read_model(path) for path in files.weights], files.bag)
    return DemucsSeparator(
        model,
        bag,
        tuple(bag.models),
        weights_sha256=_joined(sha256),
        device=device,
        precision="exact",
    )


def _bag(name: str, models: list[Any], definition: dict[str, Any]) -> Bag:
    segment = definition.get("segment")
    for model in models:
        _check(name, model)
        # A transformer cannot work on more than it was trained on.
        if segment and (segment <= model.segment or not hasattr(model, "crosstransformer")):
            model.segment = segment
    weights = definition.get("weights") or [[1.0] * len(models[0].sources)] * len(models)
    return Bag(tuple(models), tuple(tuple(map(float, row)) for row in weights))


def _check(name: str, model: Any) -> None:
    if (tuple(model.sources), model.samplerate, model.audio_channels) != (MODELS[name], SAMPLERATE, 2):
        raise ModelUnavailable(f"The weights found for {name} make {', '.join(model.sources)}.")


def _joined(sha256: list[str]) -> str:
    """One file's own checksum; of several, the checksum of their checksums."""
    return sha256[0] if len(sha256) == 1 else hashlib.sha256("\n".join(sha256).encode()).hexdigest()
