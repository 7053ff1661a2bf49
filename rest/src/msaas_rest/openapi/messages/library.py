"""Messages of songs and their results."""

from typing import Annotated, Any

from pydantic import Field

from msaas_rest.openapi.fields import File, JobId, Time, one_of
from msaas_rest.openapi.messages.base import Envelope, JobError, Message
from msaas_rest.openapi.messages.following import FragmentFacts
from msaas_rest.openapi.messages.sending import Options
from msaas_rest.songs.description import SongState


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
    """A song or its URL, its title, and its options."""

    file: File = ""
    url: Annotated[str | None, Field(description="The service fetches the song from it")] = None
    title: Annotated[str | None, Field(description="By default that of the tags, or the file's name")] = None


class Title(Message):
    title: str


class SongFragmentsReply(Envelope):
    data: FragmentFacts


class Peaks(Message):
    """Low, high, low, high … of each stem, from -127 to 127."""

    samples_per_pair: int
    is_whole: Annotated[bool, Field(description="The peaks cover the whole stems.")]
    stems: dict[str, list[int]]
