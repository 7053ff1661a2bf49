"""The client of a request: its key or its address. Each client has its own limits."""

import ipaddress
from contextlib import suppress

from flask import Request

from msaas.errors import Unauthorized
from msaas_rest.http.api_keys import ApiKeys

#: One client has a whole IPv6 network of this size.
_IPV6_CLIENT_BITS = 64


def client_of(request: Request, *, keys: ApiKeys) -> str:
    """Return the key of the caller, or its address. Requests with a wrong key count for the address."""
    with suppress(Unauthorized):
        if keys:
            return keys.check(request.headers.get("Authorization")).hex()
    address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - compared only
    if address.version == 6:
        return str(ipaddress.ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)
