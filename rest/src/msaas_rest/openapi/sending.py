"""`POST /apiv1/separate`: one route with three kinds of body."""

from typing import Any

from openapi_pydantic import Header, MediaType, Parameter, PathItem, RequestBody, Schema
from openapi_pydantic.util import PydanticSchema

from msaas import errors
from msaas.formats import FORMATS
from msaas_rest.openapi.fields import EXAMPLE_HASH, JobId
from msaas_rest.openapi.messages.sending import Accepted, Options, SongAsForm, SongAsJson, SongByName
from msaas_rest.openapi.operations import (
    AUTHORISED,
    CHANGING,
    STORED,
    Reply,
    bytes_of,
    in_header,
    in_path,
    in_query,
    operation,
    schema_of,
)

TAG = "separation"
_SIZE = {"Content-Length": Header(description="Size of the song in bytes", param_schema=schema_of(int))}
_RAW_TYPES = (
    *dict.fromkeys(row.media_type for row in FORMATS.values()),
    *("audio/*", "video/*", "application/ogg", "application/octet-stream"),
)
_RAISES = (
    *(errors.MalformedRequest, errors.MissingSong, errors.InvalidBase64, errors.InvalidCallback),
    *(errors.UploadTooSlow, errors.SongTooLarge, errors.SongTooLong),
    *(errors.NotAudio, errors.DecoderMissing, errors.UnsupportedEncoding, errors.UndecodableSong),
    *(errors.UnknownOption, errors.InvalidOption, errors.UnknownModel, errors.UnknownStem),
    *(errors.UnknownFormat, errors.FormatUnavailable),
    *(errors.TooManyCallbacks, errors.QueueFull, errors.TooBusy),
    *(errors.InvalidId, errors.SongMissing, errors.UrlRefused, errors.UrlUnreachable),
    *(errors.InvalidIdempotencyKey, errors.IdempotencyKeyReused, errors.RequestInProgress),
)
_EXAMPLE = {
    "hash": EXAMPLE_HASH,
    "songhash": EXAMPLE_HASH,
    "request_id": "46c80f3dc9d6dc8b",
    "reason": "Song enqueued for separation",
    "message": "File uploaded to MinIO and task queued for processing",
}


def paths() -> dict[str, PathItem]:
    separate = operation(
        TAG,
        "Send a song",
        name="separate",
        description="The song is the body itself, a file of a form, or base64 in JSON. In its place, `hash` "
        "names a song that the store has, and `url` one that the service fetches. Options are fields of "
        "the form or of the JSON, or query parameters with every kind of body. The same song with the same "
        "options is one job.",
        parameters=[*_option_parameters(), *_song_parameters(), _request_id(), _idempotency_key()],
        body=_body(),
        replies={200: Reply(description="The song waits, or is done.", model=Accepted, example=_EXAMPLE)},
        raises=(*AUTHORISED, *CHANGING, *STORED, *_RAISES),
    )
    head = operation(
        TAG,
        "Ask whether the store has a song",
        name="head_song",
        description="Its bytes are not read. The song stays for 10 minutes at least, so that a request with "
        "its `hash` finds it.",
        parameters=[in_path("song", "SHA-256 of the song", schema_of(JobId))],
        replies={200: Reply(description="The store has it. `Content-Length` is its size.", headers=_SIZE)},
        raises=(*AUTHORISED, *STORED, errors.InvalidId, errors.SongMissing, errors.QueueFull),
    )
    return {"/apiv1/separate": PathItem(post=separate), "/apiv1/song/{song}": PathItem(head=head)}


def _body() -> RequestBody:
    json_body = MediaType(
        media_type_schema=PydanticSchema(schema_class=SongAsJson),
        examples={
            "song": {"value": {"mp3": "//uQxAAA…"}, "summary": "The song as base64"},
            "hash": {"value": {"hash": EXAMPLE_HASH}, "summary": "A song that the store has"},
            "url": {"value": {"url": "https://example.com/song.mp3"}, "summary": "A song that is fetched"},
            "options": {
                "summary": "Vocals and the rest of them, as FLAC, with a callback",
                "value": {
                    "mp3": "//uQxAAA…",
                    "two_stems": "vocals",
                    "format": "flac",
                    "callback": {"url": "https://example.com/done", "data": {"order": 7}},
                },
            },
        },
    )
    form = MediaType(media_type_schema=PydanticSchema(schema_class=SongAsForm))
    content = {**bytes_of(*_RAW_TYPES), "multipart/form-data": form, "application/json": json_body}
    content["application/x-www-form-urlencoded"] = MediaType(
        media_type_schema=PydanticSchema(schema_class=SongByName)
    )
    return RequestBody(description="The song, and its options", content=content)


def _song_parameters() -> list[Parameter]:
    return [
        in_query("hash", "SHA-256 of a song in the store, in place of the song", schema_of(str)),
        in_query("songhash", "The same as `hash`", schema_of(str)),
        in_query("url", "URL of the song, in place of the song", schema_of(str)),
    ]


def _idempotency_key() -> Parameter:
    return in_header(
        "Idempotency-Key",
        "For 24 hours, the same request with the same key has the same reply",
        example="8e03978e-40d5-43e8-bc93-6894a57f9324",
    )


def _option_parameters() -> list[Parameter]:
    """Return the options as query parameters, with the schemas of their fields."""
    found = Options.model_json_schema()["properties"]
    parameters = [_option(name, field) for name, field in found.items()]
    callback = in_query("callback", "JSON text, as in a form", schema_of(str))
    return [*parameters, callback]


def _option(name: str, field: dict[str, Any]) -> Parameter:
    """A query has texts: no `null`, and a list is a text with commas."""
    kinds = [each for each in field.get("anyOf", [field]) if each.get("type") not in ("null", "array")]
    default = {} if field.get("default") is None else {"default": field["default"]}
    return in_query(name, field.get("description"), Schema.model_validate({**kinds[0], **default}))


def _request_id() -> Parameter:
    return in_header("X-Request-ID", "Stands in the logs and in the reply's header", example="order-7")
