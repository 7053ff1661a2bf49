"""Which TCP ports of this machine are free."""

import socket

_LOOPBACK = "127.0.0.1"


def is_free(port: int, *, host: str = _LOOPBACK) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(*, host: str = _LOOPBACK) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def preferred_or_free(port: int) -> int:
    return port if is_free(port) else free_port()
