"""The HTTP server: uvicorn in one process. An event loop waits for clients, threads run the app."""

import gc
import resource
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from msaas.bootstrap import start_logging
from msaas.logs import get_logger
from msaas_rest.app import create_app
from msaas_rest.bootstrap import bootstrap
from msaas_rest.http.bridge import Bridge
from msaas_rest.http.fetching import Fetcher
from msaas_rest.http.protocol import Connection, ConnectionPolicy
from msaas_rest.http.receiving import ReceivingPolicy
from msaas_rest.http.url_fetch import FetchPolicy
from msaas_rest.settings import RestSettings

#: Uploads in progress at SIGTERM have this long. Kubernetes kills after 30 s.
_GRACE_S = 15
_KEEP_ALIVE_S = 5
_BACKLOG = 2048
#: The kernel holds twice this much for each connection and direction. By default it takes several MiB.
_SOCKET_BUFFER_BYTES = 128 * 1024
#: Files beside the connections: of uploads, the store, Redis.
_OTHER_FILES = 512

log = get_logger()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_exit()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, and end with status 0. uvicorn itself raises the signal again."""
        stop = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for each, handler in stop.items():
                signal.signal(each, handler)


def serve(
    settings: RestSettings,
    *,
    connection_policy: ConnectionPolicy = ConnectionPolicy(),
    receiving_policy: ReceivingPolicy = ReceivingPolicy(),
    fetch_policy: FetchPolicy = FetchPolicy(),
) -> None:
    """Serve until SIGTERM.

    Raises:
        OSError: the address cannot be bound.
    """
    start_logging(settings, service="rest")
    listener = _listen(settings)
    deps = bootstrap(settings)
    deps.catalogue.start()
    app = Bridge(
        create_app(deps).wsgi_app,
        budget=deps.disk_budget,
        policy=receiving_policy,
        fetcher=Fetcher(
            budget=deps.disk_budget, policy=replace(fetch_policy, private=settings.fetch_allow_private)
        ),
    )
    policy = _within_file_limit(connection_policy)
    networks = (*policy.shared_by_clients, *settings.trusted_proxies)
    policy = replace(policy, shared_by_clients=networks)
    connection = type("Connection", (Connection,), {"policy": policy, "peers": Counter()})
    config = uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        # Without proxies, a client could choose its address.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    # Modules and routes stay. A collection of garbage that looks at them stops every request for 60 ms.
    gc.collect()
    gc.freeze()
    log.info("rest_started", host=settings.host, port=listener.getsockname()[1])
    _Uvicorn(config, on_exit=deps.events.end_all).run(sockets=[listener])
    log.info("rest_stopped")


def _listen(settings: RestSettings) -> socket.socket:
    """Return the listening socket. Accepted ones inherit its options."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server(
        (settings.host, settings.port),
        family=family,
        backlog=_BACKLOG,
        dualstack_ipv6=settings.host == "::" and socket.has_dualstack_ipv6(),
    )
    # asyncio sets it for sockets with the number of TCP alone, and this one has 0.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
    return listener


def _within_file_limit(policy: ConnectionPolicy) -> ConnectionPolicy:
    """Raise the limit of open files to what the system allows, and keep the connections below it."""
    wanted = policy.connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    # A system with few files keeps half of them for everything else.
    allowed = max(files // 2, files - _OTHER_FILES)
    return replace(policy, connections=min(policy.connections, allowed))
