"""The token of external workers, compared in constant time."""

import base64
import binascii
import hmac

from pydantic import SecretStr

from msaas.errors import WorkersRefused, WrongWorkerToken


def check_worker_token(authorization: str | None, *, token: SecretStr | None) -> None:
    """Check the header `Authorization` of a worker: a Bearer, or the password of Basic.

    Raises:
        WorkersRefused: this service has no token, and accepts no results.
        WrongWorkerToken: the header is missing, or holds another token.
    """
    if token is None:
        raise WorkersRefused("This service accepts no results of workers. Its operator can set WORKER_TOKEN.")
    if not hmac.compare_digest(_token_of(authorization or ""), token.get_secret_value().encode()):
        raise WrongWorkerToken(
            "The token of the worker is missing or unknown. Send it as `Authorization: Bearer <token>`, or "
            "as the password of Basic."
        )


def _token_of(authorization: str) -> bytes:
    """Return the token of the header, an empty one if there is none."""
    scheme, _, text = authorization.partition(" ")
    value = text.strip().encode(errors="surrogateescape")
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
