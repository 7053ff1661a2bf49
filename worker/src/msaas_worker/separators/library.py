"""The models of a worker: loads and keeps them, and looks for missing ones in the background.

A job never waits for the hub, with one exception: the first request for a model, if the model is not on this
machine and there is no fallback.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msaas.background import Tasks
from msaas.errors import ModelUnavailable
from msaas.logs import get_logger
from msaas_worker.allocator import return_freed_memory
from msaas_worker.separators import Precision, Separator
from msaas_worker.separators.families import Families, Family, LoadOptions, ModelMissing
from msaas_worker.separators.hub import Hub

#: Default pause, in s, before a missing model is looked for again.
_RETRY_S = 300.0

#: Called with a model and the model that runs in its place, or None when the model itself was loaded.
OnStandIn = Callable[[str, str | None], None]

log = get_logger()


def ignore_stand_in(model: str, runs: str | None) -> None:
    """Hook of a library that nothing observes."""


@dataclass(frozen=True)
class _Miss:
    """The reason why a model is missing, and the time (monotonic) of the next look for it."""

    reason: str
    retry_at: float


class Library:
    """Implements `Separators`. `get` is for one thread at a time."""

    def __init__(
        self,
        family_of: Callable[[str], Family],
        *,
        default: str,
        fallback: str = "",
        on_stand_in: OnStandIn = ignore_stand_in,
        model_retry_s: float = _RETRY_S,
        stopping: threading.Event | None = None,
    ) -> None:
        self._family_of = family_of
        self._default = default
        self._fallback = fallback
        self._on_stand_in = on_stand_in
        self._retry_s = model_retry_s
        self._tasks = Tasks(stopping or threading.Event())
        self._wake = threading.Event()
        self._retries: threading.Thread | None = None
        self._loaded: dict[str, Separator] = {}
        #: Written by `get` when a model is missing, emptied by the background task. Each step is atomic.
        self._missing: dict[str, _Miss] = {}

    def get(self, model: str) -> Separator:
        """Return the model, or its fallback while it is missing.

        Raises:
            ModelUnavailable: both are missing. The error is that of the last look for the model.
        """
        if model in self._loaded:
            return self._loaded[model]
        miss = self._missing.get(model)
        if miss is None:
            try:
                return self._find(model)
            except ModelUnavailable as error:
                miss = self._remember(model, error)
        if not self._has_fallback(model):
            raise ModelUnavailable(miss.reason)
        self._on_stand_in(model, self._fallback)
        return self.get(self._fallback)

    def _has_fallback(self, model: str) -> bool:
        return self._fallback not in ("", model)

    def _find(self, model: str) -> Separator:
        """Load the model. Without a fallback, wait for its download if necessary."""
        try:
            return self._load(model)
        except ModelMissing:
            if self._has_fallback(model):
                raise
            self._family_of(model).fetch(model)
            return self._load(model)

    def _load(self, model: str) -> Separator:
        """Load the model from this machine. The default stays loaded, and one other model."""
        log.info("model_loading", model=model)
        began = time.perf_counter()
        try:
            separator = self._family_of(model).load(model)
        except OSError as error:
            raise ModelUnavailable(f"The files of model {model} cannot be read: {error}") from error
        self._loaded = {name: kept for name, kept in self._loaded.items() if name == self._default}
        self._loaded[model] = separator
        return_freed_memory()
        log.info(
            "model_loaded",
            model=separator.model,
            device=separator.device,
            engine=separator.engine,
            seconds=round(time.perf_counter() - began, 2),
        )
        self._on_stand_in(model, None)
        return separator

    def _remember(self, model: str, error: ModelUnavailable) -> _Miss:
        """Look for the model later, or at once if the hub was not asked yet."""
        is_asked = not isinstance(error, ModelMissing)
        miss = _Miss(error.detail, time.monotonic() + (self._retry_s if is_asked else 0.0))
        self._missing[model] = miss
        if self._has_fallback(model):
            log.warning("model_replaced", model=model, runs=self._fallback, reason=error.detail)
        if self._retries is None:
            self._retries = self._tasks.every(
                self._retry_s, self._fetch_missing, name="models", wake=self._wake
            )
        self._wake.set()
        return miss

    def _fetch_missing(self) -> None:
        """Download the missing models that are due. The next `get` loads them."""
        for model, miss in list(self._missing.items()):
            began = time.monotonic()
            if miss.retry_at > began:
                continue
            try:
                self._family_of(model).fetch(model)
            except ModelUnavailable as error:
                if error.detail != miss.reason:
                    log.info("model_fetch_failed", model=model, reason=error.detail)
                self._missing[model] = _Miss(error.detail, began + self._retry_s)
            else:
                log.info("model_found", model=model)
                del self._missing[model]


def open_library(
    *,
    default: str,
    repo: Path | None,
    fallback: str,
    device: str,
    precision: Precision,
    hub: Hub | None = None,
    on_stand_in: OnStandIn = ignore_stand_in,
    model_retry_s: float = _RETRY_S,
    stopping: threading.Event | None = None,
) -> Library:
    """Return the library of this process. Models are loaded by its `get`.

    This imports torch, which takes most of the start of a worker. Background tasks end when `stopping` is
    set.

    Raises:
        DeviceUnavailable: `device` is `cuda` and there is none.
    """
    options = LoadOptions(device=_start_torch(device), precision=precision, repo=repo, hub=hub or Hub())
    return Library(
        Families(options).family_of,
        default=default,
        fallback=fallback,
        on_stand_in=on_stand_in,
        model_retry_s=model_retry_s,
        stopping=stopping,
    )


def _start_torch(device: str) -> str:
    """Import torch, give it the cores of this process, and return the device. Raises `DeviceUnavailable`."""
    log.info("torch_loading")
    began = time.perf_counter()
    import torch

    from msaas_worker.separators.devices import choose_device, usable_cores

    chosen, threads = choose_device(device), usable_cores()
    torch.set_num_threads(threads)
    seconds = round(time.perf_counter() - began, 2)
    log.info("torch_loaded", version=torch.__version__, device=chosen, threads=threads, seconds=seconds)
    return chosen
