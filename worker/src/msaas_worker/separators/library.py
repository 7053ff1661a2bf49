"""The models of a worker: loads and keeps them, and downloads missing ones in the background.

A job never waits for the hub. While its model is missing, the fallback does the job, or the job waits in the
queue.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from msaas.background import Tasks
from msaas.errors import ModelUnavailable
from msaas.logs import get_logger, log_context
from msaas.models import MODELS
from msaas_worker.allocator import return_freed_memory
from msaas_worker.separators import ModelPending, Precision, Separator
from msaas_worker.separators.families import Families, Family, LoadOptions, ModelMissing
from msaas_worker.separators.hub import Hub

#: Default pause, in s, before the hub is asked for a missing model again.
_RETRY_S = 300.0

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class _Miss:
    """A model that cannot be used. `retry_at` is the time (monotonic) of the next download."""

    reason: str
    retry_at: float
    #: A download is due or running.
    is_pending: bool = False


class Library:
    """Implements `Separators`. `get` is for one thread at a time. Background tasks are added to `tasks`."""

    def __init__(
        self,
        family_of: Callable[[str], Family],
        *,
        default: str,
        fallback: str = "",
        tasks: Tasks | None = None,
        model_retry_s: float = _RETRY_S,
        return_memory: Callable[[], None] = return_freed_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._family_of = family_of
        self._default = default
        self._fallback = fallback
        self._tasks = tasks or Tasks(threading.Event())
        self._retry_s = model_retry_s
        self._return_memory = return_memory
        self._clock = clock
        self._download: threading.Event | None = None
        self._loaded: dict[str, Separator] = {}
        #: Written by `get` when a model is missing, and by the background task. Each step is atomic.
        self._missing: dict[str, _Miss] = {}
        #: Set when `runs` may have changed.
        self.has_changed = threading.Event()

    def get(self, model: str) -> Separator:
        """Return the model, or its fallback while it is missing.

        Raises:
            ModelPending: the model is being downloaded, and there is no fallback.
            ModelUnavailable: both are missing. The error is that of the last download.
        """
        if model in self._loaded:
            return self._loaded[model]
        miss = self._missing.get(model)
        if miss is None:
            try:
                return self._load(model)
            except ModelUnavailable as error:
                miss = self._note_miss(model, error)
        if self._has_fallback(model):
            return self.get(self._fallback)
        if miss.is_pending:
            raise ModelPending(f"Model {model} is being downloaded. The job waits in the queue.")
        raise ModelUnavailable(miss.reason)

    def runs(self) -> dict[str, str]:
        """Return the model that runs for each name. Names that no model runs for are absent."""
        return {model: runs for model in MODELS if (runs := self._choose(model))}

    def _choose(self, model: str) -> str:
        if self._is_usable(model):
            return model
        return self._fallback if self._has_fallback(model) and self._is_usable(self._fallback) else ""

    def _is_usable(self, model: str) -> bool:
        if model in self._loaded:
            return True
        return model not in self._missing and self._family_of(model).is_present(model)

    def _has_fallback(self, model: str) -> bool:
        return self._fallback not in ("", model)

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
        self._return_memory()
        log.info(
            "model_loaded",
            model=separator.model,
            device=separator.device,
            engine=separator.engine,
            seconds=round(time.perf_counter() - began, 2),
        )
        self.has_changed.set()
        return separator

    def _note_miss(self, model: str, error: ModelUnavailable) -> _Miss:
        """Remember a model that cannot be loaded, and download it if it is absent."""
        if isinstance(error, ModelMissing):
            miss = _Miss(reason=error.detail, retry_at=self._clock(), is_pending=True)
        else:
            # Each try would read the same damaged files again, in the way of a job.
            reason = f"{error.detail} Replace the file and restart the worker."
            miss = _Miss(reason=reason, retry_at=math.inf)
        self._missing[model] = miss
        self.has_changed.set()
        if self._has_fallback(model):
            log.warning("model_replaced", model=model, runs=self._fallback, reason=miss.reason)
        if miss.is_pending:
            self._start_download()
        return miss

    def _start_download(self) -> None:
        if self._download is None:
            self._download = threading.Event()
            self._tasks.every(self._retry_s, self._download_missing, name="models", wake=self._download)
        self._download.set()

    def _download_missing(self) -> None:
        """Download the missing models that are due. The next `get` loads them."""
        for model, miss in list(self._missing.items()):
            if miss.retry_at <= self._clock():
                with log_context(model=model):
                    self._try_to_download(model, miss)

    def _try_to_download(self, model: str, miss: _Miss) -> None:
        log.info("model_download_started") if miss.is_pending else log.debug("model_download_started")
        self._missing[model] = replace(miss, is_pending=True)
        retry_at = self._clock() + self._retry_s
        try:
            self._family_of(model).fetch(model)
        except Exception as error:
            reason = error.detail if isinstance(error, ModelUnavailable) else f"Model {model}: {error!r}"
            self._missing[model] = _Miss(reason=reason, retry_at=retry_at)
            if not isinstance(error, ModelUnavailable):
                raise
            if reason != miss.reason:
                # Without a fallback every job of this model fails.
                report = log.info if self._has_fallback(model) else log.warning
                report("model_fetch_failed", reason=reason)
        else:
            log.info("model_found")
            del self._missing[model]
        finally:
            self.has_changed.set()


def open_library(
    *,
    default: str,
    repo: Path | None,
    fallback: str,
    device: str,
    precision: Precision,
    hub: Hub | None = None,
    tasks: Tasks | None = None,
    model_retry_s: float = _RETRY_S,
) -> Library:
    """Return the library of this process. Models are loaded by its `get`.

    This imports torch, which takes most of the start of a worker. Background tasks are added to `tasks`.

    Raises:
        DeviceUnavailable: `device` is `cuda` and there is none.
    """
    options = LoadOptions(device=_start_torch(device), precision=precision, repo=repo, hub=hub or Hub())
    return Library(
        Families(options).family_of,
        default=default,
        fallback=fallback,
        tasks=tasks,
        model_retry_s=model_retry_s,
    )


def open_model(
    model: str,
    *,
    repo: Path | None,
    device: str = "auto",
    precision: Precision = "auto",
    hub: Hub | None = None,
) -> Separator:
    """Return one model, which is downloaded if it is not on this machine.

    Raises:
        DeviceUnavailable: `device` is `cuda` and there is none.
        ModelUnavailable: the model cannot be downloaded, or its files are damaged.
    """
    options = LoadOptions(device=_start_torch(device), precision=precision, repo=repo, hub=hub or Hub())
    family = Families(options).family_of(model)
    family.fetch(model)
    return family.load(model)


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
