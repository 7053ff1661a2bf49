"""Callbacks are delivered off the path of the jobs, and again with growing delays for hours."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from msaas import log_debug, log_info
from msaas.errors import QueueUnavailable
from msaas.queue import Delivery, Outbox
from msaas_worker import webhooks
from msaas_worker.postman import CallbackFailed, CallbackRefused, CallbackUnwanted

_HOUR_S = 3600
#: Before each further attempt, as Standard Webhooks has it; after the last one the callback is dead.
_DELAYS_S = (5, 300, 1800, *(hours * _HOUR_S for hours in (2, 5, 10, 14, 20, 24)))
#: Each delay is up to so much shorter or longer: those of a receiver that was away do not come all at once.
_JITTER = 0.2
_IDLE_S = 1.0
#: Longer than any attempt: nobody else takes it meanwhile; no longer, for who holds it may have died.
_VISIBILITY_S = 30.0
_THREADS = 4


class Post(Protocol):
    """Makes one attempt. Raises `CallbackRefused`, `CallbackFailed`."""

    def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None: ...


@dataclass(frozen=True)
class Courier:
    outbox: Outbox
    post: Post
    stopping: threading.Event
    #: Signs what is sent.
    secret: str | None = None

    def start(self) -> None:
        for number in range(_THREADS):
            threading.Thread(target=self.run, name=f"callbacks-{number}", daemon=True).start()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                if not self.deliver_next():
                    self.stopping.wait(_IDLE_S)
            except QueueUnavailable:
                self.stopping.wait(_IDLE_S)
            except Exception as error:
                log_info("callback_stumbled", reason=type(error).__name__)
                self.stopping.wait(_IDLE_S)

    def deliver_next(self) -> bool:
        """Deliver what is due; return whether there was anything."""
        delivery = self.outbox.due(visibility_s=_VISIBILITY_S)
        if delivery is None:
            return False
        try:
            secret = delivery.secret or self.secret
            headers = webhooks.headers(delivery.id, delivery.body, secret=secret)
            self.post(delivery.url, delivery.body, headers=headers)
        except CallbackRefused as error:
            self._settle(delivery, "refused", str(error))
        except CallbackUnwanted as error:
            self._settle(delivery, "dead", str(error))
        except CallbackFailed as error:
            self._try_again(delivery, str(error))
        except Exception as error:
            # Whatever it is, it must not end the thread, nor come again for ever.
            self._try_again(delivery, type(error).__name__)
        else:
            self._settle(delivery, "delivered")
        return True

    def _try_again(self, delivery: Delivery, reason: str) -> None:
        if delivery.attempts > len(_DELAYS_S):
            return self._settle(delivery, "dead", reason)
        delay_s = _DELAYS_S[delivery.attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)
        log_debug(
            "callback_delayed", job=delivery.job_id, id=delivery.id, delay_s=round(delay_s), reason=reason
        )
        self.outbox.again(delivery, delay_s=delay_s, detail=reason)

    def _settle(self, delivery: Delivery, state: str, reason: str = "") -> None:
        log_info(f"callback_{state}", job=delivery.job_id, id=delivery.id, reason=reason)
        self.outbox.settle(delivery, state=state, detail=reason)
