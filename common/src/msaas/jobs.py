"""A job is one JSON object on the queue, and a state that everybody may ask for."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msaas.errors import InvalidCallback, InvalidId, MalformedJob
from msaas.pieces import Pieces
from msaas.songs import parse_id
from msaas.webhook_secrets import parse_webhook_secret

#: A job names a song and its options; whatever is longer than this is no job.
MAX_MESSAGE_BYTES = 64 * 1024


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Callback:
    """Whom to tell when the stems are stored, what to tell (None: the id and the state), signed how."""

    url: str
    data: Any = None
    #: Signs it in place of the service's own.
    secret: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        secret = {"secret": self.secret} if self.secret else {}
        return {"url": self.url, "data": self.data, **secret}


@dataclass(frozen=True)
class Job:
    """A piece of work: `songhash` is its id, `model` is None for the worker's default."""

    songhash: str
    model: str | None = None
    callback: Callback | None = None

    def encode(self) -> bytes:
        """Return the message; the same job always gives the same bytes."""
        message: dict[str, Any] = {"songhash": self.songhash, "hash": self.songhash}
        if self.model:
            message["model"] = self.model
        if self.callback:
            message["callback"] = self.callback.as_json()
        return json.dumps(message, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, payload: bytes) -> "Job":
        """Read a message: our JSON object, `{"hash": …}`, `{"songhash": …}` or a bare song hash.

        Raises:
            MalformedJob: it is none of these; the error keeps the payload.
        """
        if len(payload) > MAX_MESSAGE_BYTES:
            raise MalformedJob(f"It has {len(payload)} bytes.", payload=payload)
        try:
            return _job_from(_message(payload.decode()))
        except UnicodeError:
            raise MalformedJob("It is not UTF-8 text.", payload=payload) from None
        except (ValueError, TypeError, InvalidId, RecursionError) as error:
            raise MalformedJob(str(error), payload=payload) from None


def _message(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith(("{", '"', "[")):
        return {"songhash": text.strip()}
    message = json.loads(text)
    if isinstance(message, str):
        return {"songhash": message}
    if not isinstance(message, dict):
        raise TypeError("It is not a JSON object.")
    return message


def _job_from(message: dict[str, Any]) -> Job:
    songhash = message.get("songhash") or message.get("hash")
    if not isinstance(songhash, str):
        raise ValueError("It names no song hash.")
    model = message.get("model")
    if model is not None and not isinstance(model, str):
        raise TypeError("Its model is not a name.")
    model = _encodable(model or "") or None
    return Job(parse_id(songhash), model=model, callback=_callback_from(message.get("callback")))


def _encodable(text: str) -> str:
    """JSON can name half a character, which no other system takes."""
    text.encode()
    return text


def _callback_from(value: Any) -> Callback | None:
    if not isinstance(value, dict) or not isinstance(value.get("url"), str):
        return None
    return Callback(_encodable(value["url"]), value.get("data"), _secret_from(value.get("secret")))


def _secret_from(value: Any) -> str | None:
    """A message comes from anybody; with a secret that is none its callback is signed as all others are."""
    try:
        return parse_webhook_secret(value) if isinstance(value, str) else None
    except InvalidCallback:
        return None


@dataclass(frozen=True)
class JobError:
    code: str
    title: str
    detail: str


@dataclass(frozen=True)
class JobStatus:
    """What `GET /apiv1/job/<id>` tells; times are Unix seconds, `progress` runs from 0 to 1."""

    songhash: str
    state: JobState
    progress: float = 0.0
    model: str | None = None
    device: str | None = None
    attempts: int = 0
    stems: tuple[str, ...] = field(default=())
    error: JobError | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    #: Of the attempt that runs; None before the first is told of, and once the attempt is over.
    pieces: Pieces | None = None

    def as_json(self, *, now: float) -> dict[str, Any]:
        return {
            "songhash": self.songhash,
            "state": self.state.value,
            "progress": self.progress,
            "playable_until_s": self._playable_until_s(),
            "model": self.model,
            "device": self.device,
            "attempts": self.attempts,
            "stems": list(self.stems),
            "error": vars(self.error) if self.error else None,
            "created_at": rfc3339(self.created_at),
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "eta_s": self._eta_s(now),
        }

    def _playable_until_s(self) -> float | None:
        """None once the job has ended: whoever plays goes over to the stems."""
        if self.state not in (JobState.QUEUED, JobState.RUNNING):
            return None
        return self.pieces.until_s if self.pieces else 0.0

    def _eta_s(self, now: float) -> float | None:
        if self.state is not JobState.RUNNING or not self.progress or self.started_at is None:
            return None
        elapsed_s = max(0.0, now - self.started_at)
        return round(elapsed_s * (1 - self.progress) / self.progress, 1)


def rfc3339(unix_s: float | None) -> str | None:
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
