"""Messages of the queue and of jobs: status, lists, fragments, callbacks, stems, history."""

from typing import Annotated, Any

from pydantic import Field

from msaas.jobs import JobState
from msaas_rest.openapi.fields import JobId, Time, one_of
from msaas_rest.openapi.messages.base import JobError, Message


class Job(Message):
    """The status of a job."""

    songhash: JobId
    state: JobState
    progress: Annotated[float, Field(ge=0, le=1, description="1 exactly when `state` is `done`")]
    position: Annotated[int | None, Field(ge=1, description="Place of a waiting job, 1 is next")]
    duration_s: Annotated[float | None, Field(description="Length of the song, once it is known")]
    playable_until_s: Annotated[
        float | None, Field(description="Seconds of fragments, `null` once the job has ended")
    ]
    model: Annotated[str | None, Field(description="The model that runs, or was requested")]
    requested_model: str | None
    device: str | None
    attempts: Annotated[int, Field(ge=0, description="Workers that have started the job")]
    stems: Annotated[list[str], Field(description="Stems that can be downloaded")]
    error: JobError | None
    created_at: Time
    started_at: Time
    finished_at: Time
    eta_s: Annotated[float | None, Field(description="Estimated seconds to the end")]


class Links(Message):
    """URLs, or paths of this service, of the stems and of the archive of all stems."""

    stems: dict[str, str]
    archive: str


class JobWithLinks(Job):
    """The status of a job, with links once it is done."""

    links: Links | None


class Jobs(Message):
    """The latest jobs. `next` is the `cursor` of the next page, absent on the last one."""

    jobs: list[Job]
    next: str = ""


class Queue(Message):
    """Ids of waiting jobs, next first. `next` is the `cursor` of the next page, absent on the last one."""

    queue: list[str]
    next: str = ""


class Cancelled(Message):
    """Requests for a job were cancelled. `requests` counts the others, for which the job goes on."""

    hash: JobId
    songhash: JobId
    state: JobState
    requests: Annotated[int, Field(ge=0)]
    reason: str


class FragmentFacts(Message):
    """The fragments of the running attempt, numbered from 1 to `pieces`."""

    playable_until_s: float
    stems: list[str]
    pieces: Annotated[int, Field(ge=1)]


class Fragments(FragmentFacts):
    """The fragments of the running attempt of a job, numbered from 1 to `pieces`."""

    songhash: JobId


class Delivery(Message):
    """The delivery of a callback. Of its URL only scheme, host and port are shown."""

    id: str
    destination: str | None
    state: str
    attempts: Annotated[int, Field(ge=0)]
    detail: str
    next_attempt_at: Time


class Deliveries(Message):
    """The callbacks of a job."""

    callbacks: list[Delivery]


class Removed(Message):
    """A stem was removed."""

    hash: JobId
    track: str
    reason: str


class Separation(Message):
    """A separation that has ended."""

    songhash: JobId
    state: Annotated[str, Field(json_schema_extra=one_of(("done", "failed", "cancelled")))]
    error: Annotated[str | None, Field(description="Code of the error")]
    model: Annotated[str | None, Field(description="The model that ran")]
    requested_model: str | None
    weights_sha256: str | None
    options: Annotated[dict[str, Any], Field(description="The options of the request")]
    device: Annotated[str | None, Field(description="None if nothing was computed")]
    attempts: int
    audio_s: Annotated[float | None, Field(description="Length of the song")]
    work_s: Annotated[float | None, Field(description="Time of the last attempt")]
    queued_at: Time
    started_at: Time
    finished_at: Time


class History(Message):
    """A page of separations. It may have fewer than `limit`."""

    separations: list[Separation]
    next: Annotated[str, Field(description="Cursor of the next page")] = ""
