"""Limits of logins: for each account, and for each address."""

import hashlib
import unicodedata

from msaas_rest.http.rate_limit import Limiter, parse_rates

PER_ACCOUNT = "5/minute"
PER_ADDRESS = "20/minute"
_ACCOUNT, _ADDRESS = parse_rates(PER_ACCOUNT), parse_rates(PER_ADDRESS)


class LoginLimits:
    """Both methods raise `TooManyRequests` and `QueueUnavailable`."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def count_login(self, username: str, *, address: str) -> None:
        """Count an attempt. That of a name without an account counts as well: the answers must not differ."""
        self.count_address(address)
        self._limiter.count(_ACCOUNT, "login", _digest(username))

    def count_address(self, address: str) -> None:
        """Count a call that computes the hash of a password."""
        self._limiter.count(_ADDRESS, "password", address)


def _digest(username: str) -> str:
    """Return a short text for each way to write a name."""
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username[:1000]).strip().casefold())
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
