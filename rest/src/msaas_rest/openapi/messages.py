"""Requests, replies and the problem document as pydantic models. They describe and do not parse."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from msaas.formats import DEFAULT_FORMAT
from msaas.jobs import EVENTS, JobState
from msaas.recipe import Recipe
from msaas_rest.openapi.fields import (
    Base64,
    BitRate,
    Bits,
    Clip,
    File,
    FormatName,
    JobId,
    ModelName,
    Overlap,
    SampleRate,
    Shifts,
    StemName,
    Time,
    one_of,
)
from msaas_rest.songs.description import SongState

_DEFAULTS = Recipe()


def _leave_out_empty_defaults(schema: dict[str, Any]) -> None:
    """A field that may be absent has a default here, which is not one of the API."""
    for each in schema.get("properties", {}).values():
        if each.get("default", ...) in (None, ""):
            del each["default"]


def _need_song(schema: dict[str, Any]) -> None:
    _leave_out_empty_defaults(schema)
    schema["anyOf"] = [{"required": [name]} for name in ("mp3", "file", "hash", "songhash", "url")]


class Message(BaseModel):
    model_config = ConfigDict(json_schema_extra=_leave_out_empty_defaults)


class Problem(Message):
    """An error (RFC 9457). `detail` can be shown by itself, and `reason` repeats it for older clients."""

    type: Annotated[str, Field(description="`urn:msaas:error:<code>`, or `about:blank`")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    instance: Annotated[str, Field(description="The path of the request")]
    reason: str


# Requests


class Callback(Message):
    """A webhook that is called when the job ends."""

    url: Annotated[str, Field(description="The receiver. Any URL is accepted with the song.")]
    data: Annotated[Any, Field(description="The JSON to send, in place of the id and the state")] = None
    secret: Annotated[str | None, Field(description="Signs this callback: 24 to 64 bytes as base64")] = None
    events: Annotated[
        list[Annotated[str, Field(json_schema_extra=one_of(EVENTS))]] | None,
        Field(description="The ends of the job to send: all by default, and with `data` only `done`"),
    ] = None


class Options(Message):
    """The options of a separation. Fields of JSON, of a form, or of a query."""

    model: Annotated[ModelName | None, Field(description="By default the model of the service")] = None
    stems: Annotated[
        list[StemName] | str | None,
        Field(description="All of the model by default. A list, or a text with commas"),
    ] = None
    two_stems: Annotated[
        StemName | None,
        Field(description="The results are this stem and `no_<stem>`, the song without it"),
    ] = None
    format: FormatName | None = DEFAULT_FORMAT
    bitrate: Annotated[BitRate | None, Field(description="kbit/s, for formats that have one")] = None
    bits: Annotated[Bits | None, Field(description="Bits of a sample, for exact formats")] = None
    clip: Annotated[
        Clip | None,
        Field(description="A stem that exceeds full scale is scaled down, is cut, or stays as it is."),
    ] = _DEFAULTS.clip
    sample_rate: Annotated[SampleRate | None, Field(description="Hz, or that of the song")] = (
        _DEFAULTS.sample_rate
    )
    exact_sum: Annotated[
        bool | None, Field(description="All stems add up to the decoded song to the last bit.")
    ] = _DEFAULTS.exact_sum
    overlap: Annotated[
        Overlap | None, Field(description="The part of a segment that the next one repeats")
    ] = _DEFAULTS.overlap
    shifts: Annotated[Shifts | None, Field(description="The mean of so many shifted separations")] = (
        _DEFAULTS.shifts
    )


class Reference(Options):
    """A song that the store has, or that is fetched, with its options."""

    hash: Annotated[str, Field(description="SHA-256 of a song in the store, in place of the song")] = ""
    songhash: Annotated[str, Field(description="The same as `hash`")] = ""
    url: Annotated[str, Field(description="Public http or https URL of the song, in place of the song")] = ""


class SongByName(Reference):
    """A song that the store has, or that is fetched, with its options as form fields."""

    callback: Annotated[str, Field(description='JSON text: `{"url", "data"?, "secret"?, "events"?}`')] = ""


class SongAsJson(Reference):
    """A song as base64 in `mp3` or `file`, or by `hash` or `url`, with its options."""

    model_config = ConfigDict(json_schema_extra=_need_song)

    mp3: Annotated[Base64, Field(description="The song, an audio file of any known kind")] = ""
    file: Annotated[Base64, Field(description="The same as `mp3`")] = ""
    callback: Callback | None = None


class SongAsForm(Reference):
    """A song as a file in `mp3` or `file`, with its options as form fields."""

    model_config = ConfigDict(json_schema_extra=_need_song)

    mp3: Annotated[File, Field(description="The song, an audio file of any known kind")] = ""
    file: Annotated[File, Field(description="The same as `mp3`")] = ""
    callback: Annotated[str, Field(description='JSON text: `{"url", "data"?, "secret"?, "events"?}`')] = ""


# Replies


class Accepted(Message):
    """A song was accepted. `hash` and `songhash` are the id of its job."""

    hash: JobId
    songhash: JobId
    request_id: Annotated[str, Field(description="Names this request in a cancellation")]
    reason: str
    message: str


class Cancelled(Message):
    """Requests for a job were cancelled. `requests` counts the others, for which the job goes on."""

    hash: JobId
    songhash: JobId
    state: JobState
    requests: Annotated[int, Field(ge=0)]
    reason: str


class JobError(Message):
    """The reason why a job failed."""

    code: str
    title: str
    detail: str


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


class Fragments(Message):
    """The fragments of the running attempt, numbered from 1 to `pieces`."""

    songhash: JobId
    playable_until_s: float
    stems: list[str]
    pieces: Annotated[int, Field(ge=1)]


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


class Model(Message):
    """A model. `weights_license` repeats the statements of the authors, contradictions included."""

    name: str
    family: str
    stems: list[str]
    samplerate: Annotated[int, Field(description="Hz")]
    code_license: str
    weights_license: str
    source: str
    sha256: Annotated[str | None, Field(description="SHA-256 of the weights, if it is known")]
    size_bytes: Annotated[int | None, Field(description="Size of the weights, if it is known")]
    available: Annotated[
        bool | None, Field(description="Workers run it now. `null` while the queue does not answer")
    ]
    default: Annotated[bool, Field(description="It runs for requests that name none.")]


class Models(Message):
    """The models that a request can name."""

    default: str
    models: list[Model]


Available = Annotated[
    bool | None,
    Field(description="`null` if it depends on the workers, while the queue does not answer"),
]


class Input(Message):
    """A kind of file. `available` is false if no worker can read it."""

    name: str
    extension: str
    available: Available


class Format(Message):
    """A format of stems. The first of `bit_rates` (kbit/s) and of `bits` is the default."""

    name: str
    extension: str
    media_type: str
    bit_rates: list[int]
    bits: list[str]
    available: Available


class Limits(Message):
    """Limits, kinds of input and formats of stems."""

    max_upload_mb: int
    max_duration_s: float
    inputs: list[Input]
    default_format: str
    formats: list[Format]


class Buckets(Message):
    """The names of all objects, by bucket."""

    buckets: dict[str, list[str]]


class Reason(Message):
    """The result in words."""

    reason: str


class Alive(Message):
    """The process is up."""

    status: str


class Ready(Message):
    """Songs can be accepted. Without a worker they wait."""

    queue: str
    store: str
    workers: Annotated[int, Field(ge=0)]


class Home(Message):
    """The name of the service, and the prefix of its API."""

    service: str
    api: str


# History


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


# The songs API


class EnvelopeOfErrors(Message):
    """An error. `errors` has the texts of each field that is wrong, and `general` those of no field."""

    ok: bool
    errors: dict[str, list[str]]


class NoErrors(BaseModel):
    """There are no errors."""

    model_config = ConfigDict(extra="forbid")


class Envelope(Message):
    """A success without data."""

    ok: bool
    errors: NoErrors


class Song(Message):
    """A song. Further fields stand in it on demand."""

    id: int
    title: str
    hash: Annotated[str, Field(description="SHA-256 of the song")]
    uploader_id: Annotated[int | None, Field(description="None for an anonymous upload")]
    status: Annotated[str, Field(json_schema_extra=one_of(SongState))]
    created_at: Time = None
    recipe: Annotated[dict[str, Any] | None, Field(description="The options of the upload")] = None
    job_id: JobId | None = None
    error: Annotated[JobError | None, Field(description="Why the separation failed")] = None
    progress: float | None = None
    position: int | None = None
    duration_s: float | None = None
    model: str | None = None
    stems: list[str] | None = None


class SongData(Message):
    song: Song


class SongReply(Envelope):
    data: SongData


class SongsData(Message):
    songs: list[Song]
    next: Annotated[str, Field(description="Cursor of the next page")] = ""


class SongsReply(Envelope):
    data: SongsData


class SongUpload(Options):
    """A song, its title, and its options."""

    file: File
    title: Annotated[str | None, Field(description="By default that of the tags, or the file's name")] = None


class Title(Message):
    title: str


class Registration(Message):
    username: str
    password1: str
    password2: Annotated[str, Field(description="The same again")]


class Credentials(Message):
    username: str
    password: str


class Password(Message):
    password: str


class NewPassword(Message):
    password: Annotated[str, Field(description="The present one")]
    password1: str
    password2: Annotated[str, Field(description="The same again")]


class User(Message):
    id: int
    username: str
    created_at: Time


class UserData(Message):
    user: User


class UserReply(Envelope):
    data: UserData


class Session(Message):
    """A session of the user. `agent` is the program that opened it, by its own account."""

    id: int
    agent: str
    created_at: Time
    last_seen_at: Time
    expires_at: Time
    is_current: Annotated[bool, Field(description="The session of this request")]


class SessionsData(Message):
    sessions: list[Session]


class SessionsReply(Envelope):
    data: SessionsData


class SongFragmentsData(Message):
    playable_until_s: float
    stems: list[str]
    pieces: int


class SongFragmentsReply(Envelope):
    data: SongFragmentsData


class Peaks(Message):
    """Low, high, low, high … of each stem, from -127 to 127."""

    samples_per_pair: int
    is_whole: Annotated[bool, Field(description="The peaks cover the whole stems.")]
    stems: dict[str, list[int]]
