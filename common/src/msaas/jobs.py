"""Jobs: the JSON message on the queue, and the status that clients read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msaas.errors import InvalidCallback, InvalidId, MalformedJob, UnknownOption
from msaas.fragments import Fragments
from msaas.recipe import Recipe, without_empty
from msaas.songs import parse_queue_id, source_of
from msaas.webhook_secrets import parse_webhook_secret

#: A job names a song and its options: a longer entry is malformed.
MAX_MESSAGE_BYTES = 64 * 1024
#: Ends of a job that a callback can be sent for.
EVENTS = ("done", "failed", "cancelled")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Callback:
    """A webhook that is due when its job ends.

    `data` is the JSON to send; None sends the id and the state. `secret` signs it instead of the
    service's own. `events` are the ends it is sent for: by default all, and with `data` only `done`.
    """

    url: str
    data: Any = None
    secret: str | None = field(default=None, repr=False)
    events: tuple[str, ...] = field(default=(), kw_only=True)

    def wants(self, event: str) -> bool:
        """Return whether the callback is sent for this end of its job."""
        return event in self.events if self.events else event == "done" or self.data is None

    def as_json(self) -> dict[str, Any]:
        secret = {"secret": self.secret} if self.secret else {}
        events = {"events": list(self.events)} if self.events else {}
        return {"url": self.url, "data": self.data, **secret, **events}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A message of the queue.

    `options` are those of its recipe, not parsed yet: a worker may be older than the client. `request_id`
    names the HTTP request that sent the song, for the logs.
    """

    job_id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    callback: Callback | None = None
    request_id: str | None = None

    @classmethod
    def of(
        cls,
        job_id: str,
        recipe: Recipe = Recipe(),
        *,
        callback: Callback | None = None,
        request_id: str | None = None,
    ) -> "Job":
        return cls(job_id=job_id, options=recipe.options(), callback=callback, request_id=request_id)

    def recipe(self, *, default_model: str = "") -> Recipe:
        """Return the recipe of the options. A job without a variant may name `default_model`.

        Raises:
            UnknownOption: an option is unknown, or one that the id stands for is missing. A
            newer worker may know it. UnknownModel, UnknownFormat: the value of an option is
            unknown.
        """
        song_hash = source_of(self.job_id)
        if song_hash == self.job_id:
            return Recipe.parse(self.options, default_model=default_model)
        recipe = Recipe.parse(self.options)
        if recipe.job_id(song_hash) != self.job_id:
            raise UnknownOption(
                f"The options of job {self.job_id} do not match its id: one is missing, or a newer worker is "
                "needed. Update the workers, or send the song again."
            )
        return recipe

    def encode(self) -> bytes:
        """Return the message. The same job always gives the same bytes."""
        message: dict[str, Any] = {"songhash": self.job_id, "hash": self.job_id, **self.options}
        if self.callback:
            message["callback"] = self.callback.as_json()
        if self.request_id:
            message[_META] = {"request_id": self.request_id}
        return json.dumps(message, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, payload: bytes) -> "Job":
        """Read a message: our JSON object, `{"hash": …}`, `{"songhash": …}` or a bare song hash.

        Every other field of the object is an option, except `callback` and the facts in `meta`.

        Raises:
            MalformedJob: the message has another form. The error keeps the payload.
        """
        if len(payload) > MAX_MESSAGE_BYTES:
            raise MalformedJob(
                f"The queue entry has {len(payload)} bytes. The limit is {MAX_MESSAGE_BYTES} bytes.",
                payload=payload,
            )
        try:
            return _job_from(_message(payload.decode()))
        except UnicodeError:
            raise MalformedJob("The queue entry is not UTF-8 text.", payload=payload) from None
        except (ValueError, TypeError, InvalidId, RecursionError) as error:
            raise MalformedJob(f"The queue entry is not a job. {error}", payload=payload) from None


#: Facts about a job that change nothing about its result: an older worker may ignore them.
_META = "meta"
_NO_OPTIONS = {"songhash", "hash", "callback", _META}


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
    name = message.get("songhash") or message.get("hash")
    if not isinstance(name, str):
        raise ValueError("The field `songhash` is missing, or is not a text.")
    options = without_empty({key: value for key, value in message.items() if key not in _NO_OPTIONS})
    for text in (*options, *options.values()):
        if isinstance(text, str):
            _check_encodable(text)
    return Job(
        job_id=parse_queue_id(name),
        options=options,
        callback=_callback_from(message.get("callback")),
        request_id=_request_id_from(message.get(_META)),
    )


def _check_encodable(text: str) -> None:
    """Reject lone surrogates, which JSON can name: they have no UTF-8. Raises `UnicodeError`."""
    text.encode()


def _request_id_from(meta: Any) -> str | None:
    value = meta.get("request_id") if isinstance(meta, dict) else None
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None


def _callback_from(value: Any) -> Callback | None:
    if not isinstance(value, dict) or not isinstance(value.get("url"), str) or not value["url"].strip():
        return None
    _check_encodable(value["url"])
    secret = _secret_from(value.get("secret"))
    try:
        check_strict_json(value.get("data"))
        return Callback(value["url"], value.get("data"), secret, events=parse_events(value.get("events")))
    except InvalidCallback:
        return None


def parse_events(value: Any) -> tuple[str, ...]:
    """Read `callback.events`. Raises `InvalidCallback`."""
    if value is None:
        return ()
    if not isinstance(value, list) or not value or any(each not in EVENTS for each in value):
        raise InvalidCallback('Field `callback.events` is not a list of "done", "failed" and "cancelled".')
    return tuple(event for event in EVENTS if event in value)


def check_strict_json(data: Any) -> None:
    """Refuse infinity and NaN, which Python reads from `1e999` and `NaN`. Raises `InvalidCallback`."""
    try:
        json.dumps(data, allow_nan=False)
    except ValueError:
        raise InvalidCallback(
            "Field `callback` has a number that JSON cannot express. Send finite numbers."
        ) from None


def _secret_from(value: Any) -> str | None:
    """Queue messages are untrusted: an invalid secret falls back to the secret of the service."""
    try:
        return parse_webhook_secret(value) if isinstance(value, str) else None
    except InvalidCallback:
        return None


@dataclass(frozen=True)
class JobError:
    """Why a job failed, in the fields of a problem document."""

    code: str
    title: str
    detail: str

    @classmethod
    def decode(cls, text: str | bytes) -> "JobError":
        """Read the JSON of a neighbouring version: further fields are ignored."""
        fields = json.loads(text)
        return cls(*(str(fields.get(name, "")) for name in ("code", "title", "detail")))


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """The status of a job. Times are Unix seconds, `progress` runs from 0 to 1."""

    job_id: str
    state: JobState
    progress: float = 0.0
    #: The model that runs, and the model that was asked for.
    model: str | None = None
    requested_model: str | None = None
    device: str | None = None
    attempts: int = 0
    stems: tuple[str, ...] = field(default=())
    error: JobError | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    #: Those of the running attempt; None before its first one and after its end.
    fragments: Fragments | None = None
    #: The length of the song, None before it is known.
    duration_s: float | None = None
    #: The number of entries that are taken before the job, and 1. None unless it waits, or behind very many.
    position: int | None = None

    def as_json(self, *, now: float) -> dict[str, Any]:
        return {
            "songhash": self.job_id,
            "state": self.state.value,
            "progress": self.progress,
            "position": self.position,
            "duration_s": self.duration_s,
            "playable_until_s": self._playable_until_s(),
            "model": self.model,
            "requested_model": self.requested_model,
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
        """Return None once the job has ended: players switch to the finished stems."""
        if self.state not in (JobState.QUEUED, JobState.RUNNING):
            return None
        return self.fragments.until_s if self.fragments else 0.0

    def _eta_s(self, now: float) -> float | None:
        if self.state is not JobState.RUNNING or not self.progress or self.started_at is None:
            return None
        elapsed_s = max(0.0, now - self.started_at)
        return round(elapsed_s * (1 - self.progress) / self.progress, 1)


def rfc3339(unix_s: float | None) -> str | None:
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
