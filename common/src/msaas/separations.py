"""A separation that has ended: the record that the queue keeps until it is in the history."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from msaas.jobs import JobState
from msaas.songs import source_of

#: The last second of the year 9999, the end of RFC 3339.
_MAX_UNIX_S = 253402300799


@dataclass(frozen=True, kw_only=True)
class Separation:
    """The end of a job. Times are Unix seconds. Texts are empty, and numbers None, where they are not known.

    `event_id` is unique among the ends of all jobs. `started_at` is that of the last attempt. `device` is
    empty if nothing was computed: the result was in the store, or no worker had the job.
    """

    event_id: str
    job_id: str
    state: JobState
    finished_at: float
    queued_at: float | None = None
    started_at: float | None = None
    #: The options of the recipe. A newer version may have written some that are unknown here.
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    requested_model: str = ""
    weights_sha256: str = ""
    device: str = ""
    attempts: int = 0
    error_code: str = ""
    #: The length of the song.
    audio_s: float | None = None

    @property
    def song_hash(self) -> str:
        return source_of(self.job_id)

    @property
    def work_s(self) -> float | None:
        """Seconds of the last attempt, None if no worker had the job."""
        return None if self.started_at is None else max(0.0, self.finished_at - self.started_at)

    def encode(self) -> bytes:
        """Return the JSON that `record_end` of the Lua steps writes: the fields of a job, as texts."""
        fields = {
            "id": self.event_id,
            "job_id": self.job_id,
            "state": self.state.value,
            "model": self.model,
            "requested_model": self.requested_model,
            "weights": self.weights_sha256,
            "device": self.device,
            "attempts": str(self.attempts),
            "options": json.dumps(dict(self.options)) if self.options else "",
            "error": self.error_code,
            "created_at": _text(self.queued_at),
            "started_at": _text(self.started_at),
            "finished_at": _text(self.finished_at),
            "duration_s": _text(self.audio_s),
        }
        return json.dumps({name: value for name, value in fields.items() if value}).encode()

    @classmethod
    def decode(cls, entry: bytes) -> "Separation":
        """Read the JSON of a neighbouring version: further fields and invalid values are ignored.

        Raises:
            ValueError: the entry names no job, no state or no end.
        """
        found = json.loads(entry.decode(errors="replace"))
        if not isinstance(found, dict):
            raise ValueError("The record of a separation is not a JSON object.")
        fields = {name: value for name, value in found.items() if isinstance(value, str)}
        finished_at = _number(fields.get("finished_at"))
        if finished_at is None or "id" not in fields or "job_id" not in fields:
            raise ValueError("The record of a separation has no `id`, `job_id` or `finished_at`.")
        queued_at = _number(fields.get("enqueued_at"))
        return cls(
            event_id=fields["id"],
            job_id=fields["job_id"],
            state=JobState(fields.get("state", "")),
            finished_at=finished_at,
            queued_at=_number(fields.get("created_at")) if queued_at is None else queued_at,
            started_at=_number(fields.get("started_at")),
            options=_options(fields.get("options", "")),
            model=fields.get("model", ""),
            requested_model=fields.get("requested_model", ""),
            weights_sha256=fields.get("weights", ""),
            device=fields.get("device", ""),
            attempts=int(_number(fields.get("attempts")) or 0),
            error_code=fields.get("error", ""),
            audio_s=_number(fields.get("duration_s")),
        )


def _text(number: float | None) -> str:
    return "" if number is None else f"{number:.6f}"


def _number(text: str | None) -> float | None:
    """Return a number from 0 to the end of the year 9999. Another text, NaN or infinity is None."""
    with suppress(ValueError, TypeError):
        number = float(text or "")
        return number if 0 <= number <= _MAX_UNIX_S else None
    return None


def _options(text: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        return found if isinstance(found, dict) else {}
    return {}
