"""Where a callback may go: the address is checked when it is connected to, so that no name lies."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from msaas_worker.settings import Network

Address = IPv4Address | IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Not public, though `is_global` of some Pythons says so: IPv4-compatible, a site's own NAT64, site-local.
_NOT_PUBLIC = [ipaddress.ip_network(each) for each in ("::/96", "64:ff9b:1::/48", "fec0::/10")]


class DestinationRefused(Exception):
    """The destination is private."""


def is_allowed(address: Address, private: Sequence[Network]) -> bool:
    """Whether the address is public, or of a private network that was allowed."""
    address = _translated(address)
    if any(address in network for network in private):
        return True
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


def _translated(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one only stands for."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def connect(host: str, port: int, *, timeout_s: float, private: Sequence[Network]) -> socket.socket:
    """Connect to the first address of the host that answers.

    Raises:
        DestinationRefused: one of its addresses is private: a public name has none of these.
        OSError: it has no address, or none answers.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    for *_, target in found:
        if not is_allowed(ipaddress.ip_address(str(target[0]).split("%")[0]), private):
            raise DestinationRefused(f"{host} is {target[0]}.")
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, target in found:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout_s)
        try:
            connection.connect(target)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


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

    plain = type("GuardedConnection", (HTTPConnection,), {"_new_conn": new_connection})
    secure = type("GuardedSecureConnection", (HTTPSConnection,), {"_new_conn": new_connection})
    return {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedSecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
