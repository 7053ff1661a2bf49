"""Requests with an idempotency key: the same request gets the reply of the first one.

`draft-ietf-httpapi-idempotency-key-header`.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Protocol

from msaas.errors import IdempotencyKeyReused, RequestInProgress

#: A reply is kept this long.
KEPT_S = 24 * 3600
#: A request that has neither a reply nor failed after this time was in a process that died.
IN_PROGRESS_S = 15 * 60
#: Records of an owner, and of all. Older ones are forgotten: a record takes 1 kB of the queue.
MAX_OWN = 10_000
MAX_ALL = 50_000


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with its key. `digest` is that of its contents, and equal for equal requests."""

    owner: str
    key: str
    digest: str
    #: Tells attempts at the same request apart.
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def record(self) -> str:
        """The name of its record."""
        return record_of(self.owner, self.key)

    def encode(self, reply: dict[str, Any] | None = None) -> bytes:
        record = {"request": self.digest, "token": self.token, "reply": reply}
        return json.dumps(record, sort_keys=True).encode()

    def read_reply(self, record: bytes) -> dict[str, Any]:
        """Return the reply in the record of an earlier request with this key.

        Raises:
            IdempotencyKeyReused: the earlier request was another one.
            RequestInProgress: it has no reply yet.
        """
        found = json.loads(record)
        if found["request"] != self.digest:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was sent with another request. Send a new key with a new request."
            )
        if found["reply"] is None:
            raise RequestInProgress(
                "The first request with this Idempotency-Key is in progress. Send it again in a few seconds."
            )
        reply: dict[str, Any] = found["reply"]
        return reply


def record_of(owner: str, key: str) -> str:
    """Return the name of a record. Keys of different owners are different."""
    return hashlib.sha256(json.dumps([owner, key]).encode()).hexdigest()


class Idempotency(Protocol):
    """The replies to requests with a key. Every method raises `QueueUnavailable`."""

    def knows(self, owner: str, key: str) -> bool:
        """Return whether there is a record of a request with the key."""

    def begin(self, request: IdempotentRequest) -> dict[str, Any] | None:
        """Record that the request is in progress, and return None. Return the reply of an earlier one.

        Raises:
            IdempotencyKeyReused, RequestInProgress: as `IdempotentRequest.read_reply` does.
            QueueFull: there is no room for the record.
        """

    def complete(self, request: IdempotentRequest, *, reply: dict[str, Any]) -> None:
        """Keep the reply for `KEPT_S`."""

    def release(self, request: IdempotentRequest) -> None:
        """Forget the request, which failed: the next one with its key is new."""
