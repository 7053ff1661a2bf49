"""A web page of somebody else's can make a browser call us; these rules tell such calls apart."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Request

from msaas.errors import CrossSiteRequest, UnknownHost

_SERVICE = "rest-server"
_LOCAL_NAMES = {
    "localhost",
    _SERVICE,
    f"{_SERVICE}.default",
    f"{_SERVICE}.default.svc",
    f"{_SERVICE}.default.svc.cluster.local",
}
#: What a browser must not do with an answer, unless its route says otherwise.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def check_host(host: str, *, allowed: Iterable[str] = ()) -> None:
    """Accept the names we go by.

    An attacker can point a name of theirs at a private address (DNS rebinding), but never an address: so
    addresses pass, and names only if listed.

    Raises:
        UnknownHost: naming the setting that would let it in.
    """
    name = _host_name(host)
    if not host or _is_address(name) or name in _LOCAL_NAMES or name in {each.lower() for each in allowed}:
        return
    raise UnknownHost(f"{name[:255]!r} is not in ALLOWED_HOSTS.")


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def check_site(request: Request, *, changes: bool = False) -> None:
    """Refuse what another site's page makes a browser do, if it `changes` something; a GET may, too.

    Browsers tell by `Sec-Fetch-Site`, but only where the connection is trustworthy; elsewhere `Origin` or
    `Referer` must do. Programs send none of them.

    Raises:
        CrossSiteRequest: the call comes from another site, or another port of this one.
    """
    if request.method in _SAFE_METHODS and not changes:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossSiteRequest(f"Sec-Fetch-Site is {site[:32]!r}.")
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if site is None and origin is not None and _host_of(origin) != request.headers.get("Host"):
        raise CrossSiteRequest("The page that asks lies elsewhere.")
