"""Fetch a public URL: its address is checked when it is connected to. Size and time have limits."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3

from msaas.errors import SongTooLarge, UrlRefused, UrlUnreachable
from msaas.webhooks.deadline import Deadline
from msaas.webhooks.networks import Network
from msaas.webhooks.ssrf_guard import RESOLVE_S, DestinationRefused, GuardedAdapter

_CONNECT_S = 3.0
_STEP_BYTES = 128 * 1024
_MAX_URL_CHARACTERS = 8 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_SETTING = "FETCH_ALLOW_PRIVATE"
#: Without compression: a small file cannot become a large one.
_HEADERS = {"User-Agent": "msaas", "Accept": "audio/*, */*;q=0.5", "Accept-Encoding": "identity"}
_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    UnicodeError,
)


@dataclass(frozen=True, kw_only=True)
class FetchPolicy:
    """A fetch of n bytes has `grace_s + n / min_bytes_per_s` seconds, and at most `max_s`.

    Each read of the socket takes up to `read_s`.
    """

    private: Sequence[Network] = ()
    grace_s: float = 20.0
    min_bytes_per_s: float = 64 * 1024
    max_s: float = 600.0
    read_s: float = 10.0
    redirects: int = 4


class UrlFetch:
    """A fetch of one URL. `on_size` gets the announced size in bytes, `write` each step of the file."""

    def __init__(
        self,
        *,
        policy: FetchPolicy,
        max_bytes: int,
        on_size: Callable[[int], None],
        write: Callable[[bytes], None],
    ) -> None:
        self._policy = policy
        self._max_bytes = max_bytes
        self._on_size = on_size
        self._write = write
        self._started = time.monotonic()
        self._deadline = Deadline(policy.grace_s)
        self._received_bytes = 0

    def stop(self) -> None:
        """End the fetch from another thread: `run` raises `UrlUnreachable` soon."""
        self._deadline.cut()

    def run(self, url: str) -> int:
        """Fetch the file, and return its size in bytes.

        Raises:
            UrlRefused: the URL, or that of a redirect, is not a public http or https URL.
            UrlUnreachable: there was no complete answer with the status 200 in time.
            SongTooLarge: the file is larger than `max_bytes`.
        """
        with self._deadline as deadline, self._session() as session:
            try:
                with _named_errors(), self._open(session, url) as response:
                    self._copy(response)
            except UrlUnreachable:
                if deadline.is_over:
                    raise self._too_slow() from None
                raise
            if deadline.is_over:
                # A cut answer may look like a complete one.
                raise self._too_slow()
        return self._received_bytes

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.trust_env = False  # A proxy would connect in our place, past the SSRF guard.
            adapter = GuardedAdapter(
                private=self._policy.private,
                on_connect=self._deadline.watch,
                resolve_s=RESOLVE_S,
                response_class=HTTPResponse,
                setting=_SETTING,
            )
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            yield session

    @contextmanager
    def _open(self, session: requests.Session, url: str) -> Iterator[requests.Response]:
        """Follow redirects, each through the guard, and yield the answer with the file."""
        parsed = _check_url(url)
        for _ in range(self._policy.redirects + 1):
            response = session.get(
                parsed.geturl(),
                headers=_HEADERS,
                timeout=(_CONNECT_S, self._policy.read_s),
                allow_redirects=False,
                stream=True,
            )
            with closing(response):
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECTS or not location:
                    yield response
                    return
            parsed = _check_redirect(parsed, location)
        raise UrlUnreachable(
            f"The URL redirects more than {self._policy.redirects} times. Send its last URL."
        )

    def _copy(self, response: requests.Response) -> None:
        expected_bytes = self._check_head(response)
        response.raw.decode_content = False
        while step := response.raw.read(_STEP_BYTES):
            self._received_bytes += len(step)
            self._check_size(self._received_bytes)
            before = time.monotonic()
            self._write(step)
            # The time in which this service waits for room on the disk does not count as the server's.
            self._started += time.monotonic() - before
            self._deadline.extend_to(self._end())
        if expected_bytes is not None and self._received_bytes != expected_bytes:
            raise UrlUnreachable(
                f"The answer of the URL was cut: {self._received_bytes} of {expected_bytes} bytes came."
            )

    def _check_head(self, response: requests.Response) -> int | None:
        """Return the announced size, None if there is none."""
        if response.status_code != requests.codes.ok:
            raise UrlUnreachable(
                f"The server of the URL answered HTTP {response.status_code}. Send the URL of a public file."
            )
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UrlUnreachable(
                f"The server of the URL sent the file with Content-Encoding {encoding[:64]!r}. Send the file."
            )
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            return None
        self._check_size(int(length))
        self._on_size(int(length))
        return int(length)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise SongTooLarge(f"The file of the URL is too large. The limit is {self._max_bytes} bytes.")

    def _end(self) -> float:
        earned_s = self._policy.grace_s + self._received_bytes / self._policy.min_bytes_per_s
        return self._started + min(earned_s, self._policy.max_s)

    def _too_slow(self) -> UrlUnreachable:
        return UrlUnreachable(
            f"The server of the URL took too long: {self._received_bytes} bytes came. Send the file."
        )


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn errors of the HTTP client into ours. Their texts hold the URL, which may hold a password."""
    try:
        yield
    except DestinationRefused as error:
        raise UrlRefused(str(error)) from None
    except _MALFORMED:
        raise UrlRefused("The URL is malformed.") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise UrlUnreachable(f"The server of the URL cannot be reached ({type(error).__name__}).") from None


def _check_url(url: str) -> SplitResult:
    """Raises `UrlRefused`."""
    if len(url) > _MAX_URL_CHARACTERS:
        raise UrlRefused(f"The URL is too long. The limit is {_MAX_URL_CHARACTERS} characters.")
    try:
        parsed = urlsplit(url.strip())
        is_complete = bool(parsed.hostname) and parsed.port != 0
    except ValueError:
        is_complete = False
    if not is_complete or parsed.scheme not in ("http", "https"):
        raise UrlRefused("The URL is not a complete http or https URL.")
    if parsed.username is not None or parsed.password is not None:
        raise UrlRefused("The URL has a user name. Send the URL of a public file.")
    return parsed


def _check_redirect(parsed: SplitResult, location: str) -> SplitResult:
    """Raises `UrlRefused`."""
    target = _check_url(urljoin(parsed.geturl(), location))
    if parsed.scheme == "https" and target.scheme == "http":
        raise UrlRefused("The URL redirects from https to http.")
    return target
