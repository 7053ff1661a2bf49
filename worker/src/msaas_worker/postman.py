"""One attempt to deliver a callback: a POST that takes 15 s at most and reads 8 KiB at most."""

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Self

import requests

from msaas_worker.destinations import DestinationRefused, GuardedAdapter
from msaas_worker.settings import Network

_CONNECT_S = 3.0
_READ_S = 10.0
_ATTEMPT_S = 15.0
_GONE = 410
_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    UnicodeError,
)


class CallbackRefused(Exception):
    """This callback must not be delivered, now or later."""


class CallbackFailed(Exception):
    """The receiver did not take it this time."""


class CallbackUnwanted(CallbackFailed):
    """The receiver says that it will never take it (410, as Standard Webhooks has it)."""


def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    private: Sequence[Network] = (),
    attempt_s: float = _ATTEMPT_S,
) -> None:
    """Deliver the body; redirects are not followed, and only 2xx is a success.

    Raises:
        CallbackRefused: the URL is malformed, or its destination is private.
        CallbackUnwanted: the receiver wants none any more.
        CallbackFailed: nobody answered in time, or not with 2xx.
    """
    with _Deadline(attempt_s) as deadline, requests.Session() as session:
        session.trust_env = False  # A proxy would connect in our place, to whatever it likes.
        adapter = GuardedAdapter(private=private, on_connect=deadline.watch)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            status = _status(session, url, body, headers)
        except DestinationRefused as error:
            raise CallbackRefused(str(error)) from None
        except _MALFORMED:
            # What `requests` says of it holds the URL, and that may hold a password.
            raise CallbackRefused("The URL is malformed.") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise CallbackFailed(type(error).__name__) from error
        if deadline.is_over:
            # What had come by then may look like an answer.
            raise CallbackFailed(f"No answer within {attempt_s:g} s")
    if status == _GONE:
        raise CallbackUnwanted(f"HTTP {status}")
    if not 200 <= status < 300:
        raise CallbackFailed(f"HTTP {status}")


def _status(session: requests.Session, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    ours = {"Content-Type": "application/json", "User-Agent": "msaas", "Accept-Encoding": "identity"}
    with session.post(
        url,
        data=body,
        headers={**ours, **headers},
        timeout=(_CONNECT_S, _READ_S),
        allow_redirects=False,
        stream=True,
    ) as response:
        return response.status_code


class _Deadline:
    """Cuts the connection when the attempt's time is over: those of `requests` begin anew with each byte."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._twins: list[socket.socket] = []
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for twin in self._twins:
            twin.close()

    def watch(self, connection: socket.socket) -> None:
        # TLS takes the socket over; a duplicate still reaches the connection.
        self._twins.append(connection.dup())
        if self.is_over:
            self._cut()

    def _cut(self) -> None:
        self.is_over = True
        for twin in self._twins:
            with suppress(OSError):
                twin.shutdown(socket.SHUT_RDWR)
