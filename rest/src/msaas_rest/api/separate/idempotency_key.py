"""The header `Idempotency-Key`: an equal request gets the reply of the first one."""

import re
from collections.abc import Callable
from typing import Any

from msaas.errors import InvalidIdempotencyKey, QueueUnavailable
from msaas.logs import get_logger
from msaas.queue.idempotency import Idempotency, IdempotentRequest

HEADER = "Idempotency-Key"
#: Key of the environment of a request that is in progress. The app runs several times for one request.
_BEGUN = "msaas.idempotency"
#: The draft has quotes around the key, most clients send it without them.
_KEY = re.compile(r'"([!#-+\--\[\]-~]{1,255})"|([!#-+\--\[\]-~]{1,255})')

log = get_logger()


def parse_idempotency_key(text: str | None) -> str | None:
    """Return the key, None if there is none.

    Raises:
        InvalidIdempotencyKey: it is empty, too long, or has other characters.
    """
    if text is None:
        return None
    match = _KEY.fullmatch(text.strip())
    if match is None:
        raise InvalidIdempotencyKey(
            "The Idempotency-Key is invalid. Send 1 to 255 printable ASCII characters without spaces, commas "
            "and backslashes, such as a UUID."
        )
    return match[1] or match[2]


def answer_once(
    run: Callable[[], dict[str, Any]],
    *,
    request: IdempotentRequest,
    idempotency: Idempotency,
    environ: dict[str, Any],
) -> tuple[dict[str, Any], bool]:
    """Return the reply of `run`, or that of an earlier equal request, and whether it is the earlier one.

    When `run` fails, the next request with the key is new.

    Raises:
        IdempotencyKeyReused, RequestInProgress, QueueUnavailable: `run` was not called.
    """
    if _BEGUN not in environ:
        reply = idempotency.begin(request)
        if reply is not None:
            return reply, True
        environ[_BEGUN] = request
    begun: IdempotentRequest = environ[_BEGUN]
    try:
        reply = run()
    except Exception:
        _settle(lambda: idempotency.release(begun))
        raise
    _settle(lambda: idempotency.complete(begun, reply=reply))
    return reply, False


def _settle(step: Callable[[], None]) -> None:
    """The client gets its answer without Redis as well. The record then expires as that of a dead process."""
    try:
        step()
    except QueueUnavailable as error:
        log.warning("idempotency_not_recorded", reason=str(error))
