"""Models from the hub: its cache first, then the network, given up once nothing comes any more."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError
from tqdm.std import tqdm

#: Without an answer for this long the hub is given up.
SILENCE_S = 10.0
_POLL_S = 0.05

Fetch = Callable[[str], Path]


class HubSilent(OSError):
    """The hub did not answer."""


class HubBroken(OSError):
    """The hub's client failed."""


@dataclass(frozen=True)
class Hub:
    """`cache` and `endpoint` are the hub library's own (HF_HOME, HF_ENDPOINT) unless given."""

    cache: Path | None = None
    endpoint: str = constants.ENDPOINT
    silence_s: float = SILENCE_S

    @contextmanager
    def open(self, name: str) -> Iterator[Fetch]:
        """Give a function that fetches a file of the model; a read-only cache is done without."""
        repository = f"{DEFAULT_NAMESPACE}/{hf_repo_name(name)}"
        with tempfile.TemporaryDirectory(prefix="msaas-model-") as instead:

            def fetch(filename: str) -> Path:
                try:
                    return self._cached(repository, filename)
                except LocalEntryNotFoundError:
                    return self._download(repository, filename, Path(instead))

            yield fetch

    def _cached(self, repository: str, filename: str) -> Path:
        return Path(hf_hub_download(repository, filename, cache_dir=self.cache, local_files_only=True))

    def _download(self, repository: str, filename: str, instead: Path) -> Path:
        try:
            return self._watched(repository, filename, self.cache)
        except HubSilent:
            raise
        except OSError:
            if _writable(self.cache or Path(constants.HF_HUB_CACHE)):
                raise
            return self._watched(repository, filename, instead)

    def _watched(self, repository: str, filename: str, cache: Path | None) -> Path:
        """Download in a thread, because no timeout of the library covers its retries."""
        heard, result = [time.monotonic()], Future[str]()

        def download() -> None:
            try:
                result.set_result(
                    hf_hub_download(
                        repository,
                        filename,
                        cache_dir=cache,
                        endpoint=self.endpoint,
                        etag_timeout=self.silence_s,
                        tqdm_class=_listening(heard),
                    )
                )
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=download, name="hub", daemon=True).start()
        while not result.done():
            if time.monotonic() - heard[0] > self.silence_s:
                raise HubSilent(f"no answer from {self.endpoint} for {self.silence_s:g} s")
            time.sleep(_POLL_S)
        try:
            return Path(result.result())
        except OSError:
            raise
        except Exception as error:
            # Its HTTP client has a family of errors of its own, and a download given up earlier may upset it.
            raise HubBroken(f"{type(error).__name__}: {error}") from error


def _listening(heard: list[float]) -> type[tqdm]:
    """A progress bar that shows nothing and notes when bytes came."""

    class Listener(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            heard[0] = time.monotonic()
            return bool(super().update(n))

    return Listener


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
