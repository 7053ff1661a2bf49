"""Sender: one attempt at a callback, a POST of 15 s at most that reads 8 KiB at most."""

import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import requests

from msaas.webhooks.deadline import Deadline
from msaas.webhooks.networks import Network
from msaas.webhooks.ssrf_guard import RESOLVE_S, DestinationRefused, GuardedAdapter

CONNECT_S = 3.0
READ_S = 10.0
ATTEMPT_S = 15.0
#: The receiver does not want callbacks any more (Standard Webhooks).
_GONE = 410
#: Their `Retry-After` is honoured (RFC 9110, RFC 6585), up to `MAX_RETRY_AFTER_S`.
_ASKS_FOR_DELAY = {429, 503}
MAX_RETRY_AFTER_S = 3600.0
#: The URL is probably wrong: a few attempts will do.
_REJECTED = {404, 405}
_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    UnicodeError,
)


class CallbackRefused(Exception):
    """The callback must not be delivered, now or later."""


class CallbackFailed(Exception):
    """The attempt failed. `retry_after_s` is the delay that the receiver asks for."""

    def __init__(self, detail: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class CallbackRejected(CallbackFailed):
    """The receiver has no such resource (404, 405)."""


class CallbackUnwanted(CallbackFailed):
    """The receiver does not want this callback, now or later (410)."""


def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    private: Sequence[Network] = (),
    attempt_s: float = ATTEMPT_S,
    resolve_s: float = RESOLVE_S,
    read_s: float = READ_S,
) -> None:
    """POST the body. Redirects are not followed, and only 2xx is a success.

    Raises:
        CallbackRefused: the URL is malformed, or its destination is private.
        CallbackUnwanted, CallbackRejected: the answer is 410, or 404 or 405.
        CallbackFailed: there was no answer in time, or it is not 2xx.
    """
    with Deadline(attempt_s) as deadline, requests.Session() as session:
        session.trust_env = False  # A proxy would connect in our place, past the SSRF guard.
        adapter = GuardedAdapter(private=private, on_connect=deadline.watch, resolve_s=resolve_s)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            status, retry_after = _answer(session, url, body, headers, read_s=read_s)
        except DestinationRefused as error:
            raise CallbackRefused(str(error)) from None
        except _MALFORMED:
            # The text of the error holds the URL, which may hold a password.
            raise CallbackRefused("The URL is malformed.") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise CallbackFailed(_explain(error)) from error
        if deadline.is_over:
            # A cut answer may look like a complete one.
            raise CallbackFailed(f"The receiver did not answer within {attempt_s:g} s.")
    _check(status, retry_after=retry_after)


def _check(status: int, *, retry_after: str) -> None:
    """Raise the error of an answer that is not 2xx."""
    answer = f"The receiver answered HTTP {status}."
    if status == _GONE:
        raise CallbackUnwanted(answer)
    if status in _REJECTED:
        raise CallbackRejected(answer)
    if status in _ASKS_FOR_DELAY:
        raise CallbackFailed(answer, retry_after_s=parse_retry_after(retry_after, now=time.time()))
    if not 200 <= status < 300:
        raise CallbackFailed(answer)


def parse_retry_after(text: str, *, now: float) -> float:
    """Read seconds or an HTTP date (RFC 9110, 10.2.3). Return 0 to an hour, 0 for an invalid text."""
    try:
        delay_s = int(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
    return float(min(max(delay_s, 0), MAX_RETRY_AFTER_S))


def _explain(error: Exception) -> str:
    """Return the text that the owner of the job reads. The text of the error holds the URL."""
    name = type(error).__name__
    if isinstance(error, requests.exceptions.ReadTimeout):
        return f"The receiver did not answer in time ({name})."
    return f"The receiver cannot be reached ({name})."


def _answer(
    session: requests.Session, url: str, body: bytes, headers: Mapping[str, str], *, read_s: float
) -> tuple[int, str]:
    """Return the status and the header `Retry-After`."""
    ours = {"Content-Type": "application/json", "User-Agent": "msaas", "Accept-Encoding": "identity"}
    with session.post(
        url,
        data=body,
        headers={**ours, **headers},
        timeout=(CONNECT_S, read_s),
        allow_redirects=False,
        stream=True,
    ) as response:
        return response.status_code, response.headers.get("Retry-After", "").strip()
