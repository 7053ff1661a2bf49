"""Messages that several features share: errors, envelopes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


def leave_out_empty_defaults(schema: dict[str, Any]) -> None:
    """A field that may be absent has a default here, which is not one of the API."""
    for each in schema.get("properties", {}).values():
        if each.get("default", ...) in (None, ""):
            del each["default"]


class Message(BaseModel):
    model_config = ConfigDict(json_schema_extra=leave_out_empty_defaults)


class Problem(Message):
    """An error (RFC 9457). `detail` can be shown by itself, and `reason` repeats it for older clients."""

    type: Annotated[str, Field(description="`urn:msaas:error:<code>`, or `about:blank`")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    instance: Annotated[str, Field(description="The path of the request")]
    reason: str


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


class JobError(Message):
    """The reason why a job failed."""

    code: str
    title: str
    detail: str
