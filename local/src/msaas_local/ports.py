"""TCP ports of this machine."""

import errno
import os
import random
import socket

_LOOPBACK = "127.0.0.1"
#: Linux gives a connection one of 32,768 to 60,999, other systems one of 49,152 to 65,535.
_QUIET_PORTS = range(10_000, 20_000)


class AddressUnusable(Exception):
    """The message names the variable and the cause."""


def check_address(host: str, port: int) -> None:
    """Check that a server can listen on `host` and `port`.

    Raises:
        AddressUnusable: the name is unknown, the address belongs to another machine, or the port is taken.
    """
    try:
        _bind(host, port)
    except (socket.gaierror, UnicodeError) as error:
        # `encode` of a name that is too long or has an empty label raises `UnicodeError`.
        reason = error.strerror if isinstance(error, socket.gaierror) else "the name is invalid"
        raise AddressUnusable(f"HOST={host} cannot be resolved: {reason}.") from None
    except OSError as error:
        raise AddressUnusable(_explain(error, host, port)) from None


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken. Choose another one, for example: make up PORT={next_port(port)}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST={host} is not an address of this machine."
    return f"Port {port} on {host} cannot be used: {os.strerror(error.errno or 0)}."


def next_port(port: int) -> int:
    return port + 1 if port < 65535 else 5001


def is_free(port: int, *, host: str = _LOOPBACK) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a free port that no connection gets as its own while a server starts."""
    while not is_free(port := random.choice(_QUIET_PORTS)):
        pass
    return port


def preferred_or_free(port: int) -> int:
    """Return `port`, or a free one when it is taken or 0."""
    return port if port and is_free(port) else free_port()
