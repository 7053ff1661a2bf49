"""Where a callback may go: the address is checked when it is connected to, so that no name lies."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from msaas_worker.settings import Network
from msaas_worker.short_answers import ShortAnswer

Address = IPv4Address | IPv6Address
Targets = list[tuple[Any, ...]]
#: Where DNS64 is at work, every IPv4 receiver has an address of these, which stands for its own.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: All that was ever given out to the public; mapped, compatible and local addresses lie outside.
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
#: Not public, though `is_global` of some Pythons says so; tunnels (Teredo, 6to4, its relays) lead anywhere.
_NOT_PUBLIC = [
    ipaddress.ip_network(each)
    for each in ("2001::/32", "2002::/16", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24", "100.64.0.0/10")
]
#: With the time to connect to as many addresses, still less than an attempt.
_RESOLVE_S = 4.0
_MAX_TARGETS = 3


class DestinationRefused(Exception):
    """The destination is private."""


def is_allowed(address: Address, private: Sequence[Network]) -> bool:
    """Whether the address is public, or of a private network that was allowed."""
    address = _translated(address)
    if any(address in network for network in private):
        return True
    if any(address in network for network in _NOT_PUBLIC):
        return False
    is_given_out = address.version == 4 or address in _PUBLIC_V6
    return is_given_out and address.is_global and not address.is_multicast


def _translated(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one only stands for."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


def connect(host: str, port: int, *, timeout_s: float, private: Sequence[Network]) -> socket.socket:
    """Connect to the first address of the host that answers.

    Raises:
        DestinationRefused: one of its addresses is private: a public name has none of these.
        OSError: it has no address, or none answers.
    """
    found = _resolved(host.strip("[]"), port)
    for *_, target in found:
        if not is_allowed(ipaddress.ip_address(str(target[0]).split("%")[0]), private):
            raise DestinationRefused(f"{host} leads to a private address.")
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, target in found[:_MAX_TARGETS]:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout_s)
        try:
            connection.connect(target)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def _resolved(host: str, port: int) -> Targets:
    """Ask in a thread of its own: the resolver knows no limit of ours. Raises `OSError`, `UnicodeError`."""
    answer: Future[Targets] = Future()

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return answer.result(timeout=_RESOLVE_S)


class GuardedAdapter(HTTPAdapter):
    """Makes `requests` connect through `connect`; `on_connect` is shown every socket."""

    def __init__(self, *, private: Sequence[Network], on_connect: Callable[[socket.socket], None]) -> None:
        self._pools = _guarded_pools(private, on_connect)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools


def _guarded_pools(
    private: Sequence[Network], on_connect: Callable[[socket.socket], None]
) -> dict[str, type[HTTPConnectionPool]]:
    def new_connection(self: HTTPConnection) -> socket.socket:
        timeout_s = self.timeout if isinstance(self.timeout, int | float) else 5.0
        try:
            made = connect(self.host, self.port, timeout_s=timeout_s, private=private)
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        on_connect(made)
        return made

    ours = {"_new_conn": new_connection, "response_class": ShortAnswer}
    plain = type("GuardedConnection", (HTTPConnection,), dict(ours))
    secure = type("GuardedSecureConnection", (HTTPSConnection,), dict(ours))
    return {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedSecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
