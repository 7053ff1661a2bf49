"""A TCP proxy in front of a server: it can cut, delay, silence or change the traffic, and mend it again."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

#: Gets one chunk of traffic and returns the chunk that is passed on; raises `Cut` to break the connection.
Filter = Callable[[bytes], bytes]

_CHUNK_BYTES = 64 * 1024


class Cut(Exception):
    """Raised by a filter: the connection is reset here."""


def unchanged(chunk: bytes) -> bytes:
    return chunk


class TcpProxy:
    """A TCP proxy on a free port of 127.0.0.1.

    `requests` and `replies` filter the traffic, `delay_s` delays every chunk. `silence()` passes nothing and
    keeps connections open, as a machine does that lost its network. `mend()` brings back the first filters.
    """

    def __init__(self, host: str, port: int, *, replies: Filter = unchanged) -> None:
        self._target = (host, port)
        self.requests: Filter = unchanged
        self.replies: Filter = replies
        self._first_replies = replies
        self.delay_s = 0.0
        self._open = threading.Event()
        self._open.set()
        self._refusing = False
        #: Number of connections that were refused.
        self.refused = 0
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def silence(self) -> None:
        """Pass nothing. Connections stay open, and new ones are accepted."""
        self._open.clear()

    def refuse(self) -> None:
        """Reset every connection and each new one."""
        self._refusing = True
        self.cut()

    def cut(self) -> None:
        """Reset every connection; new ones are served."""
        for each in list(self._sockets):
            _reset(each)

    def mend(self) -> None:
        """Pass everything again, as at the start."""
        self.requests, self.replies = unchanged, self._first_replies
        self.delay_s, self._refusing = 0.0, False
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
                    self.refused += 1
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
            target=self._pump, args=(client, server, lambda chunk: self.requests(chunk)), daemon=True
        ).start()
        self._pump(server, client, lambda chunk: self.replies(chunk))

    def _pump(self, source: socket.socket, sink: socket.socket, passed: Filter) -> None:
        try:
            while chunk := source.recv(_CHUNK_BYTES):
                chunk = passed(chunk)
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._open.wait()
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except (OSError, Cut):
            _reset(source)
            _reset(sink)
        finally:
            self._sockets.discard(source)


def _reset(each: socket.socket) -> None:
    """Close with RST and wake the threads that wait on the socket."""
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.shutdown(socket.SHUT_RDWR)
    each.close()


class LoseReply:
    """Cuts the connection after the server ran a command with `marker`, before its reply arrives."""

    def __init__(self, proxy: TcpProxy, *, marker: bytes = b"") -> None:
        self._proxy = proxy
        self._marker = marker
        self._ran = False
        self.lost = 0
        proxy.requests, proxy.replies = self._request, self._reply

    def _request(self, chunk: bytes) -> bytes:
        self._ran = self._ran or self._marker in chunk
        return chunk

    def _reply(self, chunk: bytes) -> bytes:
        # The script did not run: the client has to send it first.
        self._ran = self._ran and not chunk.startswith(b"-NOSCRIPT")
        if not self._ran:
            return chunk
        self._proxy.mend()
        self.lost += 1
        raise Cut


@contextlib.contextmanager
def tcp_proxy(host: str, port: int) -> Iterator[TcpProxy]:
    """Yield a proxy in front of `host:port`, closed afterwards."""
    proxy = TcpProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
