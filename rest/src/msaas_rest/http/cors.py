"""CORS (Fetch standard, 3.2): pages of the allowed origins may call the machine API from a browser."""

import re
from collections.abc import Iterable

from flask import Request, Response

from msaas_rest.http.origin_checks import TRUSTED

ANY = "*"
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_PATHS = ("/apiv1/", "/openapi.json")
_METHODS = "GET, HEAD, POST, DELETE"
_ACCEPTED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, If-Range, Last-Event-ID, Range, "
    "X-Request-ID"
)
_SHOWN_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Idempotent-Replayed, "
    "Retry-After, X-Request-ID"
)
#: Browsers ask again after this time, and some of them sooner.
_PREFLIGHT_AGE_S = 600


def parse_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Return the origins in the form in which browsers send them. Raises `ValueError`."""
    origins = tuple(each.lower() for each in origins)
    for origin in origins:
        if origin != ANY and not _ORIGIN.fullmatch(origin):
            raise ValueError("Input should be a list of origins such as https://songs.example, or *")
    return origins


class Cors:
    """The allowed origins. Cookies are never allowed: keys come in `Authorization`."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def mark(self, request: Request) -> None:
        """Let the checks of the origin pass for a page that may call this API."""
        request.environ[TRUSTED] = self._allows(request)

    def answer_preflight(self, request: Request) -> Response | None:
        """Return the answer to a preflight of an allowed page. It comes without a key, and is not counted."""
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not is_preflight or not self._allows(request):
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _ACCEPTED_HEADERS
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_AGE_S)
        return response

    def add_headers(self, response: Response, request: Request) -> None:
        if not self._origins or not request.path.startswith(_PATHS):
            return
        if ANY not in self._origins:
            response.vary.add("Origin")
        if self._allows(request):
            origin = ANY if ANY in self._origins else request.headers["Origin"]
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _SHOWN_HEADERS

    def _allows(self, request: Request) -> bool:
        origin = request.headers.get("Origin")
        if not origin or not request.path.startswith(_PATHS):
            return False
        return ANY in self._origins or origin in self._origins
