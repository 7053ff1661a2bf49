"""Host and origin checks, against DNS rebinding and cross-site requests."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Request
from werkzeug.exceptions import MethodNotAllowed

from msaas.errors import CrossSiteRequest, UnknownHost

_SERVICE = "rest-server"
_LOCAL_NAMES = {
    "localhost",
    _SERVICE,
    f"{_SERVICE}.default",
    f"{_SERVICE}.default.svc",
    f"{_SERVICE}.default.svc.cluster.local",
}
#: Headers of every answer, unless its route sets others.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: Key of the environment of a request whose `Origin` CORS_ORIGINS allows. No header can set it.
TRUSTED = "msaas.trusted_origin"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
#: Begins the `User-Agent` of every browser in use.
_BROWSER_PREFIX = "mozilla/"
#: Any of these shows the origin, and `_check_origin` has compared it.
_ORIGIN_HEADERS = ("Sec-Fetch-Site", "Origin", "Referer")


def check_host(host: str, *, allowed: Iterable[str] = ()) -> None:
    """Accept addresses and the known names of this service.

    An attacker can point a name at a private address (DNS rebinding), but cannot forge an address. So
    addresses pass, and names only if they are listed.

    Raises:
        UnknownHost: naming the setting that would accept the name.
    """
    name = _host_name(host)
    if not host or _is_address(name) or name in _LOCAL_NAMES or name in {each.lower() for each in allowed}:
        return
    raise UnknownHost(
        f"Host {name[:255]!r} is not accepted. Use an address, or add the name to ALLOWED_HOSTS."
    )


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


def check_site(request: Request) -> None:
    """Refuse a changing method that another site's page makes a browser call.

    Raises:
        CrossSiteRequest: the call comes from another site, or another port of this one.
    """
    if request.method not in _SAFE_METHODS:
        _check_origin(request)


def check_changing_get(request: Request) -> None:
    """Check a route that changes something on GET as well.

    Raises:
        MethodNotAllowed: the method is HEAD.
        CrossSiteRequest: the call comes from another site, or another port of this one, or it is a GET of a
            browser without its origin, as an image without a referrer sends it.
    """
    if request.method == "HEAD":
        raise MethodNotAllowed(["GET", "DELETE"])
    _check_origin(request)
    shows_origin = any(request.headers.get(name) for name in _ORIGIN_HEADERS)
    if request.method == "GET" and _is_of_browser(request) and not shows_origin:
        raise _cross_site("GET of a browser without Sec-Fetch-Site, Origin and Referer")


def _check_origin(request: Request) -> None:
    """Check `Sec-Fetch-Site`, or `Origin` and `Referer` where the browser sends none.

    A program sends none of the three, and passes, as pages of CORS_ORIGINS do.
    """
    if request.environ.get(TRUSTED):
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        raise _cross_site(f"Sec-Fetch-Site is {site[:32]!r}")
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if site is None and origin is not None and _host_of(origin) != request.headers.get("Host"):
        raise _cross_site("Origin or Referer does not match Host")


def _is_of_browser(request: Request) -> bool:
    """Return whether the program calls itself a browser. A page cannot change that of its browser.

    Browsers omit `Sec-Fetch-Site` on plain HTTP, unless the host is this machine.
    """
    return request.headers.get("User-Agent", "").lower().startswith(_BROWSER_PREFIX)


def _cross_site(cause: str) -> CrossSiteRequest:
    return CrossSiteRequest(
        f"A page of another site sent this request ({cause}). Send it from a program, or from this origin."
    )
