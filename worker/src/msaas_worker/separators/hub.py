"""The Hugging Face hub: its cache on this machine, and downloads that end when the hub falls silent.

The client library takes 0.1 s to import, so it is imported at first use.
"""

import socket
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

#: A download without a byte for this long is abandoned.
SILENCE_S = 10.0
#: Limit for the connection to each address of the hub.
_CONNECT_S = 3.0
_POLL_S = 0.05
_PORTS = {"http": 80, "https": 443}


class HubUnavailable(OSError):
    """The hub did not deliver a file."""


class Hub:
    """`cache` and `endpoint` default to those of the client library (HF_HOME, HF_ENDPOINT)."""

    def __init__(
        self, *, cache: Path | None = None, endpoint: str | None = None, silence_s: float = SILENCE_S
    ) -> None:
        self._cache = cache
        self._endpoint = endpoint
        self._silence_s = silence_s
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def endpoint(self) -> str:
        from huggingface_hub import constants

        return self._endpoint or constants.ENDPOINT

    def find(self, repository: str, filename: str) -> Path:
        """Return a file from the cache. Raises `FileNotFoundError`."""
        from huggingface_hub import try_to_load_from_cache

        for cache in self._caches():
            found = try_to_load_from_cache(repository, filename, cache_dir=cache)
            if isinstance(found, str):
                return Path(found)
        raise FileNotFoundError(f"{repository}/{filename}")

    def fetch(self, repository: str, filename: str) -> Path:
        """Return a file, downloaded unless it is in the cache. Raises `OSError`."""
        try:
            return self.find(repository, filename)
        except FileNotFoundError:
            return self._download(repository, filename)

    def drop_temporary_files(self) -> None:
        """Delete the downloads that a read-only cache could not take."""
        if self._temporary:
            self._temporary.cleanup()
            self._temporary = None

    def _caches(self) -> list[Path]:
        from huggingface_hub import constants

        caches = [self._cache or Path(constants.HF_HUB_CACHE)]
        return [*caches, Path(self._temporary.name)] if self._temporary else caches

    def _writable_cache(self) -> Path:
        """Return the cache, or a temporary folder if the cache is read-only."""
        cache, *_ = self._caches()
        if _is_writable(cache):
            return cache
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="msaas-model-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    def _download(self, repository: str, filename: str) -> Path:
        """Download in a thread, because no timeout of the client library covers its retries."""
        cache, result = self._writable_cache(), Future[str]()
        last_byte = _LastByte()

        def download() -> None:
            try:
                self._check_connection()
                result.set_result(self._call_client(repository, filename, cache, last_byte))
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=download, name="hub", daemon=True).start()
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
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise HubUnavailable("HF_HUB_OFFLINE is set")
        if getproxies().keys() & {"http", "https", "all"}:
            return
        url = urlsplit(self.endpoint)
        address = (url.hostname or "", url.port or _PORTS.get(url.scheme, 443))
        socket.create_connection(address, timeout=_CONNECT_S).close()

    def _call_client(self, repository: str, filename: str, cache: Path, last_byte: "_LastByte") -> str:
        from huggingface_hub import hf_hub_download

        return hf_hub_download(
            repository,
            filename,
            cache_dir=cache,
            endpoint=self.endpoint,
            etag_timeout=self._silence_s,
            tqdm_class=last_byte.progress_bar(),
        )


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


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
