"""Parts that the routes of the songs API share."""

from typing import Any

from openapi_pydantic import MediaType, Operation, Parameter, RequestBody, Schema
from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

from msaas import errors
from msaas_rest.openapi.fields import EXAMPLE_HASH
from msaas_rest.openapi.operations import ENVELOPES, GUARDED, Errors, in_path, operation

SONG: dict[str, Any] = {
    "id": 7,
    "title": "Morning",
    "hash": EXAMPLE_HASH,
    "uploader_id": 3,
    "status": "UPLOADED",
}
#: Errors of every route.
OPEN: Errors = (
    *GUARDED,
    errors.DatabaseUnavailable,
    errors.TooManyRequests,
    errors.QueueUnavailable,
)
#: Errors of routes that an anonymous client may call. A session that has ended is an error.
IDENTIFIED: Errors = (*OPEN, errors.SessionUnknown)
#: Errors of routes that need a session.
LOGGED_IN: Errors = (*IDENTIFIED, errors.LoginRequired)
#: Errors of small bodies.
BODY: Errors = (
    *(errors.MalformedRequest, errors.InvalidFields, errors.UnsupportedEncoding),
    *(errors.SongTooLarge, errors.UploadTooSlow, errors.TooBusy),
)
#: Errors of the status of songs.
STATED: Errors = (errors.QueueUnavailable, errors.StoreUnavailable)
OF_A_SONG: Errors = (*IDENTIFIED, errors.SongNotFound)


def success(data: Any = None) -> dict[str, Any]:
    return {"ok": True, "errors": {}} | ({} if data is None else {"data": data})


def describe(tag: str, summary: str, **facts: Any) -> Operation:
    """Return an operation whose errors have an envelope."""
    return operation(tag, summary, presenter=ENVELOPES, **facts)


def song_id() -> Parameter:
    return in_path("song_id", "Id of the song", Schema(type="string", pattern="^[1-9][0-9]*$"), example="7")


def body_of(model: type[BaseModel], description: str = "The fields") -> RequestBody:
    """Return a body that `msaas_rest.http.text_fields` reads."""
    schema: PydanticSchema[BaseModel] = PydanticSchema(schema_class=model)
    kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    return RequestBody(
        description=description,
        content={each: MediaType(media_type_schema=schema) for each in kinds},
        required=True,
    )
