"""Repetition of calls that failed for a reason that passes: the server is away, busy, or asks for a pause."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

#: Statuses that a later call may not have.
RETRIED = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """A call is repeated until its next try would begin `patience_s` after the first one.

    Pauses double from `first_s` to `longest_s`. Clients that failed together come back at different times.
    """

    patience_s: float = 60.0
    first_s: float = 0.25
    longest_s: float = 5.0

    def pauses(self) -> Iterator[float]:
        """Yield the pause in s after each failed try."""
        pause_s = self.first_s
        while True:
            yield pause_s * random.uniform(0.5, 1.0)
            pause_s = min(2 * pause_s, self.longest_s)


class Attempts:
    """The tries of one call. `pause` waits before the next one, and tells whether there is a next one."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._pauses = policy.pauses()
        self._ends_at = time.monotonic() + policy.patience_s

    def pause(self, *, retry_after_s: float | None = None) -> bool:
        """Wait, at least for as long as the server asks. Return False at once if that is too long."""
        pause_s = max(next(self._pauses), retry_after_s or 0.0)
        if time.monotonic() + pause_s > self._ends_at:
            return False
        time.sleep(pause_s)
        return True


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header: a number or a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
