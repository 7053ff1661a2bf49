"""A wire to a server that can be cut, slowed, silenced or tampered with, and mended again."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

#: Sees one piece of traffic and returns what is passed on; raises `Cut` to break the connection.
Filter = Callable[[bytes], bytes]

_PIECE_BYTES = 64 * 1024


class Cut(Exception):
    """Raised by a filter: this connection breaks here, without a goodbye."""


def unchanged(piece: bytes) -> bytes:
    return piece


class Wire:
    """A TCP proxy on a free port of 127.0.0.1.

    `requests` and `replies` filter what passes; `delay_s` holds every piece back that long;
    `silence()` swallows everything without closing, as a dead machine does.
    """

    def __init__(self, host: str, port: int, *, replies: Filter = unchanged) -> None:
        self._target = (host, port)
        self.requests: Filter = unchanged
        self.replies: Filter = replies
        self.delay_s = 0.0
        self._open = threading.Event()
        self._open.set()
        self._refusing = False
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def silence(self) -> None:
        """Let nothing through; connections stay open and new ones are accepted."""
        self._open.clear()

    def refuse(self) -> None:
        """Break every connection and each new one."""
        self._refusing = True
        self.cut()

    def cut(self) -> None:
        """Break every connection; new ones are served."""
        for each in list(self._sockets):
            _reset(each)

    def mend(self) -> None:
        self.requests, self.replies, self.delay_s, self._refusing = unchanged, unchanged, 0.0, False
        self._open.set()

    def close(self) -> None:
        self._listener.close()
        self.refuse()
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._refusing:
                    _reset(client)
                else:
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.wait()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            _reset(client)
            return
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.add(each)
        threading.Thread(
            target=self._pump, args=(client, server, lambda p: self.requests(p)), daemon=True
        ).start()
        self._pump(server, client, lambda piece: self.replies(piece))

    def _pump(self, source: socket.socket, sink: socket.socket, passed: Filter) -> None:
        try:
            while piece := source.recv(_PIECE_BYTES):
                piece = passed(piece)
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._open.wait()
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except (OSError, Cut):
            _reset(source)
            _reset(sink)
        finally:
            self._sockets.discard(source)


def _reset(each: socket.socket) -> None:
    """Close with RST and wake whoever waits on it."""
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.shutdown(socket.SHUT_RDWR)
    each.close()


class LoseReply:
    """Makes a wire break after the server ran a command that holds `marker`, before its reply arrives."""

    def __init__(self, between: Wire, *, marker: bytes = b"") -> None:
        self._between = between
        self._marker = marker
        self._ran = False
        self.lost = 0
        between.requests, between.replies = self._request, self._reply

    def _request(self, piece: bytes) -> bytes:
        self._ran = self._ran or self._marker in piece
        return piece

    def _reply(self, piece: bytes) -> bytes:
        # Not run after all: the script has to be sent first.
        self._ran = self._ran and not piece.startswith(b"-NOSCRIPT")
        if not self._ran:
            return piece
        self._between.mend()
        self.lost += 1
        raise Cut


@contextlib.contextmanager
def wire(host: str, port: int) -> Iterator[Wire]:
    made = Wire(host, port)
    try:
        yield made
    finally:
        made.close()
