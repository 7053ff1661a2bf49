"""Values of the API. Each reads itself from a reply and ignores fields that it does not know."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Self
from urllib.parse import urlsplit

#: Stems and extensions become file names.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DEFAULT_EXTENSION = "mp3"


class State(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDED = (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a separation, as in docs/api.md. None leaves the choice to the server.

    `stems` has the stems to make, all if it is empty. `callback` is `{"url", "data"?, "secret"?, "events"?}`.
    """

    model: str | None = None
    stems: Sequence[str] = ()
    two_stems: str | None = None
    format: str | None = None
    bitrate: int | None = None
    bits: str | None = None
    clip: str | None = None
    sample_rate: str | None = None
    exact_sum: bool | None = None
    overlap: float | None = None
    shifts: int | None = None
    callback: Mapping[str, Any] | None = None

    def values(self) -> dict[str, Any]:
        """Return the options that are set."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in named.items() if value is not None and value != ()}


@dataclass(frozen=True)
class Submission:
    """A request that the server accepted. `request_id` cancels this request and no other one."""

    id: str
    request_id: str


@dataclass(frozen=True)
class JobError:
    """The reason of a failure."""

    code: str
    title: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """Status of a job. `progress` is 0 to 1, `position` 1 for the job that is next."""

    id: str
    state: State
    progress: float = 0.0
    position: int | None = None
    model: str | None = None
    requested_model: str | None = None
    device: str | None = None
    attempts: int = 0
    stems: tuple[str, ...] = ()
    #: URL of each stem, once the job is done. Events and lists have none.
    links: Mapping[str, str] = field(default_factory=dict)
    error: JobError | None = None
    duration_s: float | None = None
    eta_s: float | None = None
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None

    @classmethod
    def from_json(cls, reply: Mapping[str, Any]) -> Self:
        """Read a job. Raises `KeyError`, `TypeError` or `ValueError` if it is not one."""
        error, links = reply.get("error"), reply.get("links") or {}
        plain = {
            name: reply.get(name)
            for name in ("position", "model", "requested_model", "device", "duration_s", "eta_s")
        }
        times = {name: reply.get(name) for name in ("created_at", "started_at", "finished_at")}
        return cls(
            id=str(reply["songhash"]),
            state=State(reply["state"]),
            progress=float(reply.get("progress") or 0),
            attempts=int(reply.get("attempts") or 0),
            stems=tuple(map(_file_name, reply.get("stems") or ())),
            links={_file_name(stem): str(url) for stem, url in links.get("stems", {}).items()},
            error=JobError(*(str(error.get(name, "")) for name in ("code", "title", "detail")))
            if error
            else None,
            **plain,
            **times,
        )

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED

    @property
    def extension(self) -> str:
        """Return the extension of the stems, which their links have."""
        suffixes = [PurePosixPath(urlsplit(url).path).suffix.lstrip(".") for url in self.links.values()]
        return _file_name(suffixes[0]) if suffixes and suffixes[0] else _DEFAULT_EXTENSION


def _file_name(text: str) -> str:
    """Return a stem or an extension. Raises `ValueError` for a name that leads to another folder."""
    if not _FILE_NAME.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not the name of a stem or an extension.")
    return text


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model of the server. `is_available` is None until a worker has reported its models."""

    name: str
    stems: tuple[str, ...]
    weights_license: str
    source: str
    is_available: bool | None
    is_default: bool

    @classmethod
    def from_json(cls, reply: Mapping[str, Any]) -> Self:
        return cls(
            name=str(reply["name"]),
            stems=tuple(map(_file_name, reply["stems"])),
            weights_license=str(reply.get("weights_license", "")),
            source=str(reply.get("source", "")),
            is_available=reply.get("available"),
            is_default=bool(reply.get("default")),
        )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the server, and the formats that it reads and writes now."""

    max_upload_mb: float
    max_duration_s: float
    inputs: tuple[str, ...]
    formats: tuple[str, ...]

    @classmethod
    def from_json(cls, reply: Mapping[str, Any]) -> Self:
        return cls(
            max_upload_mb=float(reply["max_upload_mb"]),
            max_duration_s=float(reply["max_duration_s"]),
            inputs=_available(reply["inputs"]),
            formats=_available(reply["formats"]),
        )


def _available(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(row["name"]) for row in rows if row.get("available") is not False)


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """`queue` and `store` are `ok`, or the reason of their failure. `workers` counts those that live."""

    queue: str
    store: str
    workers: int | None

    @classmethod
    def from_json(cls, reply: Mapping[str, Any]) -> Self:
        workers = reply.get("workers")
        return cls(
            queue=str(reply.get("queue", "unknown")),
            store=str(reply.get("store", "unknown")),
            workers=int(workers) if isinstance(workers, int) else None,
        )

    @property
    def is_ready(self) -> bool:
        return self.queue == self.store == "ok"
