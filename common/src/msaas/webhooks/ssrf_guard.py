"""SSRF guard: the address of a URL is checked when it is connected to, after the name is resolved."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from http.client import HTTPResponse
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from msaas.webhooks.networks import Network
from msaas.webhooks.response_limit import LimitedResponse

Address = IPv4Address | IPv6Address
Targets = list[tuple[Any, ...]]
#: With DNS64, every IPv4 receiver has an address of this network that stands for its own.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Every public IPv6 address. Mapped, compatible and local ones are outside.
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
#: Not public, though `is_global` of some Pythons is true. Tunnels (Teredo, 6to4, its relays) lead anywhere.
_NOT_PUBLIC = [
    ipaddress.ip_network(each)
    for each in ("2001::/32", "2002::/16", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24", "100.64.0.0/10")
]
#: Addresses in public ranges that a cloud answers on inside its own network: Azure's platform (WireServer).
#: All others, such as 169.254.169.254, 100.100.100.200 and fd00:ec2::254, are in private ranges.
_PLATFORM = [ipaddress.ip_network("168.63.129.16/32")]
#: Resolving and connecting to the first addresses takes less than an attempt.
RESOLVE_S = 4.0
MAX_TARGETS = 3


#: The setting that allows private networks for callbacks.
CALLBACK_SETTING = "CALLBACK_ALLOW_PRIVATE"


class DestinationRefused(Exception):
    """The destination is private."""


def is_allowed(address: Address, private: Sequence[Network]) -> bool:
    """Return whether the address is public, or in an allowed private network."""
    address = _embedded_ipv4(address)
    if any(address in network for network in private):
        return True
    if any(address in network for network in (*_NOT_PUBLIC, *_PLATFORM)):
        return False
    is_public = address.version == 4 or address in _PUBLIC_V6
    return is_public and address.is_global and not address.is_multicast


def _embedded_ipv4(address: Address) -> Address:
    """Return the IPv4 address that a NAT64 or mapped address stands for, else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


def connect(
    host: str,
    port: int,
    *,
    timeout_s: float,
    private: Sequence[Network],
    resolve_s: float = RESOLVE_S,
    setting: str = CALLBACK_SETTING,
) -> socket.socket:
    """Connect to the first address of the host that answers.

    Raises:
        DestinationRefused: one of its addresses is private.
        OSError: it has no address, or no address answers.
    """
    found = _resolve(host.strip("[]"), port, timeout_s=resolve_s)
    for *_, target in found:
        if not is_allowed(ipaddress.ip_address(str(target[0]).split("%")[0]), private):
            raise DestinationRefused(f"Host {host} has a private address. {setting} can allow its network.")
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, target in found[:MAX_TARGETS]:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout_s)
        try:
            connection.connect(target)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def _resolve(host: str, port: int, *, timeout_s: float) -> Targets:
    """Resolve in a thread of its own: the resolver has no timeout. Raises `OSError`, `UnicodeError`."""
    answer: Future[Targets] = Future()

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return answer.result(timeout=timeout_s)


class GuardedAdapter(HTTPAdapter):
    """Makes `requests` connect through `connect`; `on_connect` gets every socket.

    `response_class` reads the answers. `setting` is the one that `private` is the value of.
    """

    def __init__(
        self,
        *,
        private: Sequence[Network],
        on_connect: Callable[[socket.socket], None],
        resolve_s: float = RESOLVE_S,
        response_class: type[HTTPResponse] = LimitedResponse,
        setting: str = CALLBACK_SETTING,
    ) -> None:
        check = partial(connect, private=private, resolve_s=resolve_s, setting=setting)
        self._pools = _make_guarded_pools(check, on_connect, response_class=response_class)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools


def _make_guarded_pools(
    connect: Callable[..., socket.socket],
    on_connect: Callable[[socket.socket], None],
    *,
    response_class: type[HTTPResponse],
) -> dict[str, type[HTTPConnectionPool]]:
    def new_connection(self: HTTPConnection) -> socket.socket:
        timeout_s = self.timeout if isinstance(self.timeout, int | float) else 5.0
        try:
            made = connect(self.host, self.port, timeout_s=timeout_s)
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        on_connect(made)
        return made

    ours = {"_new_conn": new_connection, "response_class": response_class}
    plain = type("GuardedConnection", (HTTPConnection,), dict(ours))
    secure = type("GuardedSecureConnection", (HTTPSConnection,), dict(ours))
    return {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedSecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
