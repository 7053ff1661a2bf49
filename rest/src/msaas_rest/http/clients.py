"""The client of a request: its key or its address. Each client has its own limits and its own turns."""

import ipaddress

from flask import Request

from msaas_rest.http.api_keys import ApiKeys
from msaas_rest.http.caller import Caller

#: One client has a whole IPv6 network of this size.
_IPV6_CLIENT_BITS = 64
#: A program on this machine may use either address.
_THIS_MACHINE = "127.0.0.1"
_UNKNOWN = "unknown"


def caller_of(request: Request, *, keys: ApiKeys) -> Caller:
    """Return the caller. Without keys it is an address, and may do everything.

    Raises:
        MissingKey, WrongKey: a key is required.
    """
    if not keys:
        return Caller(owner=address_of(request))
    key = keys.check(request.headers.get("Authorization"))
    return Caller(owner=key.name or key.digest.hex(), name=key.name, scope=key.scope)


def address_of(request: Request) -> str:
    """Return the address of the client, or its network, as its owner in the queue."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - compared only
    except ValueError:
        # A proxy that is trusted wrote something else.
        return _UNKNOWN
    if address.is_loopback:
        return _THIS_MACHINE
    if address.version == 6:
        return str(ipaddress.ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)
