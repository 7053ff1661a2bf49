"""The HTTP server: gunicorn with one process and many threads, most of which wait for a slow client."""

import socket
import struct
from contextlib import suppress
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from msaas.bootstrap import start_logging
from msaas.logs import configure_logging, get_logger
from msaas_rest.app import create_app
from msaas_rest.bootstrap import bootstrap
from msaas_rest.http.malformed_request import malformed_request_response
from msaas_rest.settings import RestSettings

#: A slow client holds a thread.
THREADS = 256
#: A client that sends or takes nothing for this long is disconnected.
IDLE_S = 30
#: Uploads in progress at SIGTERM have this long. Kubernetes kills after 30 s.
_GRACE_S = 15

log = get_logger()


class PatientWorker(ThreadWorker):
    """Limits the wait for a client, which holds a thread. gunicorn itself waits without end."""

    idle_s = IDLE_S

    def enqueue_req(self, conn: Any) -> None:
        limit = struct.pack("ll", self.idle_s, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        super().enqueue_req(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be parsed. gunicorn would log its text, which may hold a key."""
        # An error with a request is one of the app.
        if req is not None or not isinstance(exc, ParseException):
            return super().handle_error(req, client, addr, exc)
        log.info("http_request_malformed", reason=type(exc).__name__)
        with suppress(OSError):
            client.sendall(malformed_request_response(exc))


class JsonLogger(Logger):
    """Passes gunicorn's own lines to the handlers of the service."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Server(BaseApplication):
    """Starts one process that serves, and starts it again when it dies."""

    def __init__(self, settings: RestSettings, *, idle_s: int = IDLE_S) -> None:
        self._settings = settings
        self._worker = type("PatientWorker", (PatientWorker,), {"idle_s": idle_s})
        # The process that serves adds the list in Redis to its own logs: a thread does not survive a fork.
        configure_logging(service="rest", level=settings.log_level)
        super().__init__()

    def load_config(self) -> None:
        for name, value in _gunicorn_options(self._settings).items():
            self.cfg.set(name, value)
        self.cfg.set("worker_class", self._worker)

    def load(self) -> Any:
        """Build the app in the process that serves: threads and connections do not survive a fork."""
        start_logging(self._settings, service="rest")
        return create_app(bootstrap(self._settings))


def _gunicorn_options(settings: RestSettings) -> dict[str, Any]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": 1,
        "threads": THREADS,
        "worker_connections": 4 * THREADS,
        "graceful_timeout": _GRACE_S,
        "loglevel": "warning",
        "logger_class": JsonLogger,
        "control_socket_disable": True,
    }
