"""The address of a client behind a proxy."""

import pytest
from rest.tests.conftest import Start
from rest.tests.service import Service


def statuses(service: Service, *forwarded: str) -> list[int]:
    return [
        service.get("/apiv1/queue", headers={"X-Forwarded-For": each} if each else {}).status_code
        for each in forwarded
    ]


def test_clients_of_a_trusted_proxy_have_limits_of_their_own(shared: Start) -> None:
    service = shared(RATE_LIMIT="2/minute", TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    assert statuses(service, *["198.51.100.1"] * 3) == [200, 200, 429]
    assert statuses(service, *["198.51.100.2"] * 3) == [200, 200, 429]
    # Clients may write addresses before that of the proxy.
    assert statuses(service, "198.51.100.9, 198.51.100.1", "198.51.100.1, 10.1.2.3") == [429, 429]
    assert statuses(service, *["2001:db8::1"] * 3) == [200, 200, 429]


@pytest.mark.parametrize("forwarded", ["", "nobody", "198.51.100.1:80", "[::1]:80", "\x7f", "," * 50])
def test_foreign_addresses_are_no_error(shared: Start, forwarded: str) -> None:
    service = shared(TRUSTED_PROXIES="127.0.0.1")
    assert statuses(service, forwarded) == [200]


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"])
def test_clients_cannot_choose_their_address(shared: Start, proxies: str) -> None:
    service = shared(RATE_LIMIT="2/minute", TRUSTED_PROXIES=proxies)
    assert statuses(service, "198.51.100.1", "198.51.100.2", "198.51.100.3") == [200, 200, 429]
