"""HTTP: one session with a key and timeouts. Calls are repeated, and failures become errors of the client."""

import copy
import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from msaas_client.errors import ClientError, InvalidReply, Refused, RequestFailed, Unreachable
from msaas_client.retries import RETRIED, Attempts, RetryPolicy, parse_retry_after

DEFAULT_URL = "http://localhost:5000"
#: Connections kept open: one for each song that is worked on, and one for its events.
_CONNECTIONS = 64
_MAX_DETAIL = 500
_URN = "urn:msaas:error:"
#: The reply to the first request with an `Idempotency-Key` is not known yet.
_IN_PROGRESS = "request_in_progress"


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Times in s. `connect_s` also bounds each write, so that an upload has a longer one.

    The server lets an upload wait for room for 30 s. Events have a comment every 15 s.
    """

    connect_s: float = 10.0
    upload_s: float = 60.0
    read_s: float = 60.0

    def of(self, *, is_upload: bool, most_s: float) -> tuple[float, float]:
        """Return the times for the connection and for a read, as requests takes them, at most `most_s`."""
        return min(self.upload_s if is_upload else self.connect_s, most_s), min(self.read_s, most_s)


class Body(Protocol):
    """A body of known length, which is read anew for each try."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def rewind(self) -> None: ...


class Transport:
    """Sends requests to one server. Several threads may use it.

    Until the server has answered once, a call that does not reach it fails at once: its URL may be wrong.
    Later the server is away, and calls wait for it.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeouts: Timeouts = Timeouts(),
        retries: RetryPolicy = RetryPolicy(),
    ) -> None:
        self.url = parse_url(url)
        # requests would name the key in its error.
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("The API key has a character that is not printable ASCII. Copy the key again.")
        self._timeouts = timeouts
        self._retries = retries
        #: Shared with the transports of `patient_for`.
        self._answered = threading.Event()
        self._session = requests.Session()
        # With an `auth` of its own a session does not look for a password in ~/.netrc.
        self._session.auth = _Bearer(api_key)
        self._session.headers["User-Agent"] = f"msaas-client/{version('msaas-client')}"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS))

    def close(self) -> None:
        self._session.close()

    @property
    def has_answered(self) -> bool:
        return self._answered.is_set()

    @property
    def patience_s(self) -> float:
        return self._retries.patience_s

    def patient_for(self, patience_s: float) -> Self:
        """Return a transport to the same server with other patience and the same session."""
        other = copy.copy(self)
        other._retries = replace(self._retries, patience_s=patience_s)
        return other

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        body: Body | None = None,
        stream: bool = False,
        retried: bool = True,
        most_s: float = math.inf,
    ) -> requests.Response:
        """Return the reply with a status below 300. `most_s` shortens the time for each step of a try.

        Raises:
            Unreachable, RequestFailed: also after further tries, unless `retried` is False.
        """
        attempts = Attempts(self._retries)
        timeouts = self._timeouts.of(is_upload=body is not None, most_s=most_s)

        def send() -> requests.Response:
            if body:
                body.rewind()
            return self._session.request(
                method,
                self.url + path,
                params=params,
                headers=headers,
                data=body or data,
                stream=stream,
                timeout=timeouts,
                # A key goes to the server it belongs to, and a song is not sent twice.
                allow_redirects=False,
            )

        while True:
            failure = self._try(send)
            if isinstance(failure, requests.Response):
                return failure
            if not (retried and _may_pass(failure, has_answered=self.has_answered)):
                raise failure
            if not attempts.pause(retry_after_s=getattr(failure, "retry_after_s", None)):
                raise failure

    def get_json(self, path: str, *, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at `path`."""
        return read_json(self.call("GET", path, params=params))

    def _try(self, send: Callable[[], requests.Response]) -> requests.Response | ClientError:
        try:
            reply = send()
        except requests.RequestException as error:
            return Unreachable(f"{self.url} does not answer: {_reason_of(error)}")
        self._answered.set()
        return reply if reply.status_code < HTTPStatus.MULTIPLE_CHOICES else read_failure(reply)


def parse_url(url: str) -> str:
    """Return the URL of a server without a slash at its end. `host:port` is http.

    Raises:
        ValueError: it is not a URL of http or https.
    """
    url = url.strip()
    url = url if "://" in url else f"http://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("The URL of the server should be http[s]://host[:port][/path].")
    if parts.username or parts.password:
        raise ValueError("The URL of the server has a password in it. Put the key into MSAAS_API_KEY.")
    return url.rstrip("/")


def read_json(reply: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a reply. Raises `InvalidReply`."""
    try:
        found = reply.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidReply(f"{reply.url} did not answer as this API does. Check MSAAS_URL.")
    return found


def read_failure(reply: requests.Response) -> RequestFailed:
    """Return the error that a reply describes, as problem+json (RFC 9457) or not."""
    try:
        problem = json.loads(reply.content)
    except (ValueError, requests.RequestException):
        problem = {}
    finally:
        reply.close()
    if not isinstance(problem, dict):
        problem = {}
    code = str(problem.get("type", ""))
    kind = Refused if reply.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else RequestFailed
    return kind(
        str(problem.get("detail") or _describe(reply))[:_MAX_DETAIL],
        status=reply.status_code,
        code=code.removeprefix(_URN) if code.startswith(_URN) else "",
        retry_after_s=parse_retry_after(reply.headers.get("Retry-After")),
    )


def _describe(reply: requests.Response) -> str:
    if reply.is_redirect:
        return f"{reply.url} was moved to {reply.headers['Location']}. Set MSAAS_URL to its new place."
    return f"{reply.url} answered {reply.status_code} {reply.reason or ''}".rstrip() + "."


def _may_pass(failure: ClientError, *, has_answered: bool) -> bool:
    if isinstance(failure, RequestFailed):
        return failure.status in RETRIED or failure.code == _IN_PROGRESS
    return has_answered


def _reason_of(error: BaseException) -> str:
    """Return the innermost reason of an error of requests, for example `Connection refused`."""
    seen = error
    while inner := _inner_of(seen):
        seen = inner
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen) or type(seen).__name__


def _inner_of(error: BaseException) -> BaseException | None:
    """Return the error that this one wraps. Its context may be an error of the program that calls."""
    wrapped = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((each for each in wrapped if isinstance(each, BaseException)), None)


class _Bearer(AuthBase):
    """Adds the key. It has no representation that shows it."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request
