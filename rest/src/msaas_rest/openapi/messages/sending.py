"""Messages of `POST /apiv1/separate`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from msaas.formats import DEFAULT_FORMAT
from msaas.jobs import EVENTS
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
    one_of,
)
from msaas_rest.openapi.messages.base import Message, leave_out_empty_defaults

_DEFAULTS = Recipe()


def _need_song(schema: dict[str, Any]) -> None:
    leave_out_empty_defaults(schema)
    schema["anyOf"] = [{"required": [name]} for name in ("mp3", "file", "hash", "songhash", "url")]


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


class Accepted(Message):
    """A song was accepted. `hash` and `songhash` are the id of its job."""

    hash: JobId
    songhash: JobId
    request_id: Annotated[str, Field(description="Names this request in a cancellation")]
    reason: str
    message: str
