"""Addresses that cannot be used are named with their cause."""

import socket
from collections.abc import Iterator

import pytest

from msaas_local.ports import AddressUnusable, check_address, free_port, is_free, preferred_or_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_free_address_passes() -> None:
    check_address("127.0.0.1", free_port())
    check_address("localhost", free_port())


def test_taken_port_is_named_with_another_one(taken_port: int) -> None:
    with pytest.raises(
        AddressUnusable, match=f"Port {taken_port} on 127.0.0.1 is taken.*PORT={taken_port + 1}"
    ):
        check_address("127.0.0.1", taken_port)


@pytest.mark.parametrize("host", ["host.invalid", "..", "a" * 300])
def test_unknown_host_is_named_instead_of_the_port(host: str) -> None:
    with pytest.raises(AddressUnusable, match=f"^HOST={host} cannot be resolved: "):
        check_address(host, free_port())


def test_address_of_another_machine_is_named() -> None:
    # TEST-NET-1 (RFC 5737): no machine has it.
    with pytest.raises(AddressUnusable, match=r"HOST=192\.0\.2\.1 is not an address of this machine"):
        check_address("192.0.2.1", free_port())


def test_preferred_port_is_kept_while_it_is_free(taken_port: int) -> None:
    port = free_port()
    assert preferred_or_free(port) == port
    assert preferred_or_free(taken_port) not in (taken_port, 0)


def test_port_0_becomes_a_real_port() -> None:
    port = preferred_or_free(0)
    assert port > 0
    assert is_free(port)
