"""The connection of a client: HTTP/1.1 by uvicorn and h11, with the deadlines that uvicorn lacks.

h11 refuses what RFC 9112 does not allow, such as HTTP/1.1 without Host.
"""

import asyncio
import ipaddress
import sys
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from msaas.logs import get_logger
from msaas_rest.http.lingering import LingeringTransport
from msaas_rest.http.malformed_request import malformed_request_response, reason_of

#: Key of the scope of a request: an `asyncio.Event`, set when the client sends no more.
ENDED = "msaas.ended"
#: Key of the scope of a request: a function that ends the connection at once.
ABORT = "msaas.abort"

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class ConnectionPolicy:
    """Limits of a connection, in seconds, and of their number."""

    #: From the connection, or from the first byte of a later request, to the end of the headers.
    head_s: float = 10.0
    #: The client reads nothing of an answer.
    stalled_s: float = 30.0
    #: A client that was refused sends on. It reads the answer only after its upload.
    refused_s: float = 2.0
    connections: int = 8192
    #: The part of them that one address may hold, unless it is that of a proxy or of this machine.
    share: float = 0.5
    shared_by_clients: tuple[IPv4Network | IPv6Network, ...] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )


class Connection(H11Protocol):
    """A connection that ends when its client takes too long."""

    policy = ConnectionPolicy()
    #: Connections by the address of the client.
    peers: ClassVar[Counter[str]] = Counter()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._ended = asyncio.Event()
        self._peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = LingeringTransport(transport, is_receiving=self._is_receiving)
        super().connection_made(cast(asyncio.Transport, self._lingering))
        self._peer = _address_of(transport)
        self.peers[self._peer] += 1
        if len(self.connections) > self.policy.connections or self._exceeds_share():
            transport.abort()
        else:
            self._watch_head()

    def _exceeds_share(self) -> bool:
        if self.peers[self._peer] <= self.policy.connections * self.policy.share:
            return False
        try:
            address = ipaddress.ip_address(self._peer)
        except ValueError:
            return False
        return not any(address in network for network in self.policy.shared_by_clients)

    def _is_receiving(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def data_received(self, data: bytes) -> None:
        # What comes after the answer and the end of this side belongs to a refused upload.
        if not self._lingering.has_ended:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.peers[self._peer] -= 1
        if not self.peers[self._peer]:
            del self.peers[self._peer]
        for deadline in self._deadlines.values():
            deadline.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. It may still read: the connection stays open for the answer."""
        self._ended.set()
        if self._is_receiving():
            # The body is cut. In any other state uvicorn would look at the end for ever.
            self.data_received(b"")
        return self.conn.their_state is h11.DONE and not self.transport.is_closing()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle:
            scope = cast(dict[str, Any], self.cycle.scope)
            scope |= {ENDED: self._ended, ABORT: self.transport.abort}
        self._watch_head()

    def on_response_complete(self) -> None:
        if self._is_receiving():
            self._abort_in("refused", self.policy.refused_s)
        super().on_response_complete()
        if self._ended.is_set():
            self.transport.close()
        self._abort_unless_flushed()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_unless_flushed()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._abort_in("stalled", self.policy.stalled_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel("stalled")

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 cannot parse. uvicorn calls this while it handles the error."""
        error = sys.exception()
        log.info("http_request_rejected", reason=reason_of(error))
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(malformed_request_response(error))
        self.transport.close()
        self._abort_unless_flushed()

    def _watch_head(self) -> None:
        if self.conn.their_state is h11.IDLE:
            if "head" not in self._deadlines:
                self._abort_in("head", self.policy.head_s)
        else:
            self._cancel("head")
        if not self._is_receiving():
            self._cancel("refused")

    def _abort_unless_flushed(self) -> None:
        """A client that reads nothing would keep a closing connection open."""
        if self.transport.is_closing():
            self._abort_in("flush", self.policy.stalled_s)

    def _abort_in(self, name: str, seconds: float) -> None:
        self._cancel(name)
        self._deadlines[name] = self.loop.call_later(seconds, self.transport.abort)

    def _cancel(self, name: str) -> None:
        if deadline := self._deadlines.pop(name, None):
            deadline.cancel()


def _address_of(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    # IPv4 clients of a socket for both versions have mapped addresses.
    return str(peer[0]).removeprefix("::ffff:") if peer else ""
