"""Dispatcher: takes due deliveries from the outbox and sends them, with exponential backoff.

A worker sends the first attempts of its own jobs, `keeper` sends everything that is due. Both may run at
once: the outbox gives each delivery to one of them.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from msaas.logs import get_logger
from msaas.metrics import CALLBACKS
from msaas.queue.outbox import Delivery, Outbox
from msaas.webhooks.sender import CallbackFailed, CallbackRefused, CallbackRejected, CallbackUnwanted
from msaas.webhooks.signing import sign

_HOUR_S = 3600
#: Delays before the further attempts, as Standard Webhooks suggests. After the last one the callback is dead.
BACKOFF_S = (5, 300, 1800, *(hours * _HOUR_S for hours in (2, 5, 10, 14, 20, 24)))
#: Attempts at a receiver that answers 404 or 405: a new deployment needs a moment, a wrong URL stays wrong.
_MAX_REJECTED = 3
#: Each delay varies by this share, so that the callbacks of a dead receiver do not come back at once.
_JITTER = 0.2
#: Visibility timeout: longer than one attempt, short enough to recover from a dead dispatcher.
VISIBILITY_S = 30.0

log = get_logger()


class Send(Protocol):
    """Makes one attempt. Raises `CallbackRefused`, `CallbackFailed`."""

    def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Dispatcher:
    """`secret` signs callbacks without a secret of their own. `on_delivered` gets the job id."""

    outbox: Outbox
    send: Send
    secret: str | None = None
    backoff_s: tuple[float, ...] = BACKOFF_S
    #: Take deliveries that no attempt was made at only.
    first_attempts_only: bool = False
    on_delivered: Callable[[str], None] = lambda job_id: None

    def deliver_all(self) -> None:
        """Send until nothing is due."""
        while self.deliver_next():
            pass

    def deliver_next(self) -> bool:
        """Send the next due delivery. Return False if there is none. Raises `QueueUnavailable`."""
        delivery = self.outbox.receive(visibility_s=VISIBILITY_S, first_only=self.first_attempts_only)
        if delivery is None:
            return False
        try:
            headers = sign(delivery.id, delivery.body, secret=delivery.secret or self.secret)
            self.send(delivery.url, delivery.body, headers=headers)
        except CallbackRefused as error:
            self._complete(delivery, "refused", str(error))
        except CallbackUnwanted as error:
            self._complete(delivery, "dead", str(error))
        except CallbackRejected as error:
            self._retry(delivery, str(error), max_attempts=_MAX_REJECTED)
        except CallbackFailed as error:
            self._retry(delivery, str(error), not_before_s=error.retry_after_s)
        except Exception as error:
            log.exception("webhook_crashed", job_id=delivery.job_id, delivery_id=delivery.id)
            self._retry(delivery, f"The attempt failed ({type(error).__name__}).")
        else:
            self._complete(delivery, "delivered")
            self.on_delivered(delivery.job_id)
        return True

    def _retry(
        self,
        delivery: Delivery,
        reason: str,
        *,
        max_attempts: int | None = None,
        not_before_s: float = 0.0,
    ) -> None:
        attempts = len(self.backoff_s) + 1
        if delivery.attempts >= min(attempts, max_attempts or attempts):
            return self._complete(delivery, "dead", reason)
        delay_s = self.backoff_s[delivery.attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)
        delay_s = max(delay_s, not_before_s)
        report = log.info if delivery.attempts == 1 else log.debug
        report("webhook_failed", **_facts(delivery), retry_in_s=round(delay_s), reason=reason)
        CALLBACKS.labels("failed").inc()
        self.outbox.retry_later(delivery, delay_s=delay_s, detail=reason)

    def _complete(self, delivery: Delivery, state: str, reason: str = "") -> None:
        report = log.warning if state == "dead" else log.info
        report(f"webhook_{state}", **_facts(delivery), **({"reason": reason} if reason else {}))
        CALLBACKS.labels(state).inc()
        self.outbox.complete(delivery, state=state, detail=reason)


def _facts(delivery: Delivery) -> dict[str, object]:
    return {"job_id": delivery.job_id, "delivery_id": delivery.id, "attempt": delivery.attempts}
