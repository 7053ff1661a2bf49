"""The models of this worker: the default one stays loaded, and of the others the last one asked for."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from msaas import log_info
from msaas.errors import ModelUnavailable
from msaas.stems import MODELS, STARTER
from msaas_worker.allocator import give_back_freed_memory
from msaas_worker.decoded import SAMPLERATE
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.devices import choose_device, usable_cores
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.htdemucs import Prepared, prepare
from msaas_worker.separators.htdemucs.precision import Precision
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.overlap_add import Runner, segments_of
from msaas_worker.separators.repository import ModelFiles, Repository
from msaas_worker.separators.starter import Starter
from msaas_worker.separators.weights import checksum, read_model

#: Segments run at once; one alone leaves a GPU idle.
_MIN_BATCH = {"cpu": 1, "cuda": 8}
#: The hub may be back by then; a try costs a job up to 10 s.
_TRY_AGAIN_S = 300.0
_STARTER = Path(__file__).parent / "starter" / f"{STARTER}.safetensors"


class Library:
    """Implements `Separators`."""

    def __init__(self, load: Callable[[str], Separator], *, default: str, fallback: str = "") -> None:
        self._load = load
        self._default = default
        self._fallback = fallback
        self._loaded: dict[str, Separator] = {}
        #: By model: until when its fallback stands in without another try.
        self._missing_until: dict[str, float] = {}

    def get(self, model: str) -> Separator:
        if time.monotonic() < self._missing_until.get(model, 0.0):
            return self._kept(self._fallback)
        try:
            return self._kept(model)
        except ModelUnavailable as error:
            if not self._fallback or model == self._fallback:
                raise
            self._missing_until[model] = time.monotonic() + _TRY_AGAIN_S
            return self._kept(self._fallback, instead_of=model, because=error.detail)

    def _kept(self, model: str, **facts: str) -> Separator:
        """Return the model; of those that are not the default the last one is kept."""
        if model not in self._loaded:
            separator = self._load(model)
            self._loaded = {name: kept for name, kept in self._loaded.items() if name == self._default}
            self._loaded[model] = separator
            give_back_freed_memory()
            log_info(
                "model_loaded",
                model=separator.model,
                device=separator.device,
                engine=separator.engine,
                **facts,
            )
        return self._loaded[model]


def open_library(
    *,
    default: str,
    repo: Path | None,
    fallback: str,
    device: str,
    precision: Precision,
    hub: Hub | None = None,
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


def load_separator(model: str, repository: Repository, *, device: str, precision: Precision) -> Separator:
    """Raises `ModelUnavailable`, saying how to get the model."""
    if model == STARTER:
        return load_starter(_STARTER, device=device, precision=precision)
    with repository.files(model) as files:
        return _separator(model, files, device=device, precision=precision)


def load_starter(weights: Path, *, device: str, precision: Precision) -> Separator:
    """`weights` are those of the package, or of a training. Raises `ModelUnavailable`."""
    if not weights.is_file():
        raise ModelUnavailable("This copy of the package was built without its starter model.")
    files = ModelFiles((weights,), {"models": [STARTER]}, is_foreign=False)
    return _separator(STARTER, files, device=device, precision=precision)


def _separator(model: str, files: ModelFiles, *, device: str, precision: Precision) -> Separator:
    checksums = [checksum(path) for path in files.weights]
    models = [_shaped(model, read_model(path), files.bag.get("segment")) for path in files.weights]
    threads = usable_cores()
    prepared = [prepare(each, precision=precision, device=device, threads=threads) for each in models]
    for path, each in zip(files.weights, checksums, strict=True):
        if not each.is_verified and files.is_foreign:
            log_info("weights_unverified", model=model, file=path.name, reason="no checksum in its name")
    return DemucsSeparator(
        model,
        _bag(model, files),
        tuple(_runner(each, ready, device) for each, ready in zip(models, prepared, strict=True)),
        weights_sha256=_joined([each.sha256 for each in checksums]),
        arithmetic=prepared[0].arithmetic,
        adds_up=all(isinstance(each, Starter) for each in models),
    )


def _runner(model: Any, prepared: Prepared, device: str) -> Runner:
    batch = max(prepared.batch, _MIN_BATCH[device])
    return Runner(segments_of(model), prepared.forward, device=device, batch=batch)


def _bag(model: str, files: ModelFiles) -> Bag:
    sources = MODELS[model]
    weights = files.bag.get("weights") or [[1.0] * len(sources)] * len(files.weights)
    if [len(row) for row in weights] != [len(sources)] * len(files.weights):
        raise ModelUnavailable(f"{model}.yaml has not a weight for each stem of each of its models.")
    return Bag(sources, tuple(tuple(map(float, row)) for row in weights))


def _shaped(name: str, model: Any, segment: float | None) -> Any:
    """Check the model and give it the bag's segment; a transformer takes no more than it was trained on."""
    _check(name, model)
    if segment and (segment <= model.segment or not hasattr(model, "crosstransformer")):
        model.segment = segment
    return model


def _check(name: str, model: Any) -> None:
    if (tuple(model.sources), model.samplerate, model.audio_channels) != (MODELS[name], SAMPLERATE, 2):
        raise ModelUnavailable(f"The weights found for {name} make {', '.join(model.sources)}.")


def _joined(sha256: list[str]) -> str:
    """One file's own checksum; of several, the checksum of their checksums."""
    return sha256[0] if len(sha256) == 1 else hashlib.sha256("\n".join(sha256).encode()).hexdigest()
