"""Protocol of the outbox, and the rules of callbacks: sizes, limits, bodies and ids."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from msaas.errors import CallbackNotReady, QueueFull, TooManyCallbacks
from msaas.jobs import Callback

#: A job lists this many of its latest callbacks.
MAX_LISTED = 100
#: States of callbacks that can be sent again: their job has ended, and their content is kept.
REDELIVERABLE = ("pending", "dead")
#: A callback takes this much in Redis besides its texts.
_CALLBACK_OVERHEAD_BYTES = 512
_NOT_ENDED = "its job has not ended. Try again after its end."
_SKIPPED = "it does not ask for the end that its job had."
_DROPPED = "its content is no longer kept. Send the song again."


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A callback.

    `body` is the JSON to POST, `due_at` the Unix time of the next attempt, `secret` signs this one.
    """

    id: str
    job_id: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    state: str
    attempts: int
    detail: str = ""
    due_at: float | None = None
    secret: str | None = field(default=None, repr=False)


class Outbox(Protocol):
    """Callbacks that wait for delivery. Every method raises `QueueUnavailable`."""

    def add(self, callback: Callback, *, job_id: str) -> str:
        """Add a callback of a finished job. Return its delivery id, the same over all attempts.

        Raises:
            QueueFull, TooManyCallbacks: nothing was added.
        """

    def receive(self, *, visibility_s: float, first_only: bool = False) -> Delivery | None:
        """Return the next due delivery, hidden from other dispatchers for `visibility_s`.

        With `first_only`, one that no attempt was made at.
        """

    def complete(self, delivery: Delivery, *, state: str, detail: str = "") -> None:
        """Record the end of the last attempt: `delivered`, `refused` or `dead`.

        Only a `dead` delivery keeps its content, until it is sent again or forgotten.
        Nothing changes if a further attempt was asked for since.
        """

    def retry_later(self, delivery: Delivery, *, delay_s: float, detail: str = "") -> None:
        """Record a failed attempt. The next one is due after `delay_s`."""

    def redeliver(self, delivery_id: str, *, job_id: str) -> Delivery:
        """Make the delivery due now, under the same id and with all its attempts.

        Raises:
            CallbackNotFound: this job has no such callback.
            CallbackNotReady: the job has not ended, or the content of the callback is not kept.
        """

    def deliveries(self, job_id: str) -> list[Delivery]:
        """Return the latest deliveries of a job, oldest first."""

    def dead(self) -> list[Delivery]:
        """Return the deliveries that ran out of attempts, newest first."""


def callback_not_ready(delivery_id: str, *, state: str) -> CallbackNotReady:
    """Return the error for a callback that cannot be sent again in this state."""
    reason = {"waiting": _NOT_ENDED, "skipped": _SKIPPED}.get(state, _DROPPED)
    return CallbackNotReady(f"Callback {delivery_id} is {state}: {reason}")


def data_json(callback: Callback) -> str:
    """Return the JSON text of `data`, empty if it is missing."""
    return "" if callback.data is None else json.dumps(callback.data, allow_nan=False)


def size_of(callback: Callback) -> int:
    """Return the bytes that a callback counts for."""
    texts = (callback.url, data_json(callback), callback.secret or "")
    return sum(len(each.encode()) for each in texts) + _CALLBACK_OVERHEAD_BYTES


def body_of(job_id: str, *, state: str, data: str = "", error: str = "") -> bytes:
    """Return the JSON to POST. `data` and `error` are JSON texts, or empty.

    A callback that asks for another end by its `events` gets its `data` and the `error`, null if cancelled.
    """
    if state == "done" and data:
        return data.encode()
    body = json.dumps({"songhash": job_id, "state": state})
    if not error and (state == "done" or not data):
        return body.encode()
    return f'{body[:-1]}, "error": {error or "null"}, "data": {data or "null"}}}'.encode()


def check_callback_room(verdict: str, *, job_id: str) -> None:
    """Raise the error of a step that found no room for a callback: `outbox_full` or `job_full`."""
    if verdict == "outbox_full":
        raise QueueFull(
            "The queue is full: too many callbacks are not delivered yet. Try again later, or send the song "
            "without a callback."
        )
    if verdict == "job_full":
        raise TooManyCallbacks(
            f"Job {job_id} has too many callbacks that are not delivered yet. Try again when they are."
        )


def new_delivery_id() -> str:
    """Return a unique id, as Standard Webhooks asks for."""
    return f"msg_{secrets.token_hex(12)}"


def delivery_id_of(payload: bytes) -> str:
    """Return the delivery id of a message that was pushed by hand: the same message has the same id."""
    return f"msg_{hashlib.sha256(payload).hexdigest()[:24]}"
