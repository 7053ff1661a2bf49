"""The Hugging Face hub: its cache on this machine, and downloads that end when the hub falls silent.

The client library takes 0.1 s to import, so it is imported at first use.
"""

import logging
import socket
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from msaas.background import spawn

#: A download without a byte for this long is abandoned.
SILENCE_S = 10.0
#: Limit for the connection to each address of the hub.
_CONNECT_S = 3.0
_POLL_S = 0.05
_PORTS = {"http": 80, "https": 443}


class HubUnavailable(OSError):
    """The hub did not deliver a file."""


class Hub:
    """The cache and the server. Several threads may use it.

    `cache` and `endpoint` default to those of the client library (HF_HOME, HF_ENDPOINT).
    """

    def __init__(
        self, *, cache: Path | None = None, endpoint: str | None = None, silence_s: float = SILENCE_S
    ) -> None:
        self._cache = cache
        self._endpoint = endpoint
        self._silence_s = silence_s
        #: By repository: one thread may load a model while another downloads the next.
        self._temporary: dict[str, tempfile.TemporaryDirectory[str]] = {}
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return self._endpoint or str(_client().constants.ENDPOINT)

    def find(self, repository: str, filename: str) -> Path:
        """Return a file from the cache. Raises `FileNotFoundError`."""
        for cache in self._caches(repository):
            found = _client().try_to_load_from_cache(repository, filename, cache_dir=cache)
            if isinstance(found, str):
                return Path(found)
        raise FileNotFoundError(f"{repository}/{filename}")

    def fetch(self, repository: str, filename: str) -> Path:
        """Return a file, downloaded unless it is in the cache. Raises `OSError`."""
        try:
            return self.find(repository, filename)
        except FileNotFoundError:
            return self._download(repository, filename)

    def drop_temporary_files(self, repository: str | None = None) -> None:
        """Delete the downloads that a read-only cache could not take: those of a repository, or all."""
        with self._lock:
            for name in [repository] if repository else list(self._temporary):
                if folder := self._temporary.pop(name, None):
                    folder.cleanup()

    def _shared_cache(self) -> Path:
        return self._cache or Path(_client().constants.HF_HUB_CACHE)

    def _caches(self, repository: str) -> list[Path]:
        with self._lock:
            temporary = self._temporary.get(repository)
        return [self._shared_cache(), *([Path(temporary.name)] if temporary else [])]

    def _writable_cache(self, repository: str) -> Path:
        """Return the cache, or a temporary folder of the repository if the cache is read-only."""
        cache = self._shared_cache()
        if _is_writable(cache):
            return cache
        with self._lock:
            if repository not in self._temporary:
                self._temporary[repository] = tempfile.TemporaryDirectory(
                    prefix="msaas-model-", ignore_cleanup_errors=True
                )
            return Path(self._temporary[repository].name)

    def _download(self, repository: str, filename: str) -> Path:
        """Download in a thread, because no timeout of the client library covers its retries."""
        cache, result = self._writable_cache(repository), Future[str]()
        last_byte = _LastByte()

        def download() -> None:
            try:
                self._check_connection()
                result.set_result(self._call_client(repository, filename, cache, last_byte))
            except BaseException as error:
                result.set_exception(error)

        spawn(download, name="hub")
        while not result.done():
            if last_byte.age_s > self._silence_s:
                raise HubUnavailable(f"no answer for {self._silence_s:g} s")
            time.sleep(_POLL_S)
        try:
            return Path(result.result())
        except OSError:
            raise
        except Exception as error:
            # The client library raises errors of its HTTP library, too.
            raise HubUnavailable(f"{type(error).__name__}: {error}") from error

    def _check_connection(self) -> None:
        """Fail at once if the hub is unreachable: the client library would try again for 15 s.

        Behind a proxy the client library decides, because the proxy resolves the name.
        """
        if _client().constants.HF_HUB_OFFLINE:
            raise HubUnavailable("HF_HUB_OFFLINE is set")
        if getproxies().keys() & {"http", "https", "all"}:
            return
        url = urlsplit(self.endpoint)
        address = (url.hostname or "", url.port or _PORTS.get(url.scheme, 443))
        socket.create_connection(address, timeout=_CONNECT_S).close()

    def _call_client(self, repository: str, filename: str, cache: Path, last_byte: "_LastByte") -> str:
        path = _client().hf_hub_download(
            repository,
            filename,
            cache_dir=cache,
            endpoint=self.endpoint,
            etag_timeout=self._silence_s,
            tqdm_class=last_byte.progress_bar(),
        )
        return str(path)


class _LastByte:
    """Remembers when the last byte arrived."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._at

    def progress_bar(self) -> Any:
        """Return a class of progress bars that display nothing and report to this object."""
        from tqdm.std import tqdm

        last_byte = self

        class Bar(tqdm):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                kwargs.pop("name", None)
                super().__init__(*args, **{**kwargs, "disable": True})

            def update(self, n: float | None = 1) -> bool | None:
                last_byte._at = time.monotonic()
                return bool(super().update(n))

        return Bar


def _client() -> Any:
    """Return the client library. Its own log handler is removed: each line is printed once, as JSON."""
    import huggingface_hub
    from huggingface_hub.utils import logging as client_logging

    logging.getLogger(client_logging.__name__.partition(".")[0]).handlers.clear()
    return huggingface_hub


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
