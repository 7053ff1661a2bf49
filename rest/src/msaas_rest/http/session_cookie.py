"""The cookie of a session. It holds the token, and nothing else."""

from flask import Request, Response

#: Browsers accept a cookie of this name from the host itself only, over https and for all paths.
_SECURE, _PLAIN = "__Host-msaas", "msaas"


def read_token(request: Request) -> str | None:
    """Return the token of the session, None without a cookie.

    Over https a cookie that plain http could have set does not count.
    """
    return request.cookies.get(_name(request))


def set_token(response: Response, request: Request, token: str, *, max_age_s: int) -> None:
    response.set_cookie(
        _name(request),
        token,
        max_age=max_age_s,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=_is_https(request),
    )


def delete_token(response: Response, request: Request) -> None:
    """Let the browser forget the cookie: an empty one that has expired replaces it."""
    set_token(response, request, "", max_age_s=0)


def _name(request: Request) -> str:
    return _SECURE if _is_https(request) else _PLAIN


def _is_https(request: Request) -> bool:
    """Return whether the client came by https, as its proxy says.

    A client that sets the header itself gets a cookie that only https carries, and harms itself alone.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    return (forwarded or request.scheme) == "https"
