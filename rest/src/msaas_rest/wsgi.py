"""gunicorn runs the app: one process, many threads, for most of them wait for a slow client."""

import socket
import struct
from contextlib import suppress
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from msaas.redis_log import log_info, start_logging
from msaas_rest.app import create_app
from msaas_rest.bootstrap import bootstrap
from msaas_rest.no_request import refusal
from msaas_rest.settings import RestSettings

#: A slow client holds a thread, and so will an open event stream.
THREADS = 256
#: A client that sends or takes nothing for so long is gone.
IDLE_S = 30
#: Uploads under way at SIGTERM have this long; Kubernetes kills after 30 s.
_GRACE_S = 15


class PatientWorker(ThreadWorker):
    """Waits for a client, but not for ever, as gunicorn itself would: each holds a thread."""

    def enqueue_req(self, conn: Any) -> None:
        limit = struct.pack("ll", IDLE_S, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        super().enqueue_req(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """gunicorn's own would log what was sent, a key in a broken header line, too."""
        # With a request it would be the app's own fault.
        if req is not None or not isinstance(exc, ParseException):
            return super().handle_error(req, client, addr, exc)
        log_info("no_request", reason=type(exc).__name__)
        with suppress(OSError):
            client.sendall(refusal(exc))


class Server(BaseApplication):
    def __init__(self, settings: RestSettings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in _gunicorn_options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Runs in the process that serves: threads and connections do not survive a fork."""
        settings = self._settings
        start_logging(
            service="rest",
            level=settings.log_level,
            address=settings.redis_address,
            key=settings.redis_log_key,
            node=socket.gethostname(),
        )
        return create_app(bootstrap(settings))


def _gunicorn_options(settings: RestSettings) -> dict[str, Any]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": 1,
        "worker_class": PatientWorker,
        "threads": THREADS,
        "worker_connections": 4 * THREADS,
        "graceful_timeout": _GRACE_S,
        "loglevel": "warning",
        "control_socket_disable": True,
    }
