"""Parts of an operation: its parameters, its replies, and the problems of its errors."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from openapi_pydantic import (
    Header,
    MediaType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Response,
    Schema,
)
from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel, TypeAdapter

from msaas import errors
from msaas_rest.http.problems import PROBLEM_TYPE
from msaas_rest.http.statuses import status_of
from msaas_rest.openapi.messages import Problem

Errors = tuple[type[errors.MsaasError], ...]

#: Errors of every route that checks its host.
GUARDED: Errors = (errors.UnknownHost,)
#: Errors of every route of `/apiv1`.
AUTHORISED: Errors = (
    *GUARDED,
    errors.MissingKey,
    errors.WrongKey,
    errors.ScopeMissing,
    errors.TooManyRequests,
    errors.QueueUnavailable,
)
#: Errors of every route of one job.
OF_A_JOB: Errors = (*AUTHORISED, errors.InvalidId, errors.JobNotFound)
CHANGING: Errors = (errors.CrossSiteRequest,)
STORED: Errors = (errors.StoreUnavailable,)
#: Statuses that any route can have, with their titles. They have no code.
GENERAL = {
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    505: "HTTP Version Not Supported",
}


def schema_of(kind: Any, **extra: Any) -> Schema:
    """Return the schema of a type that is not a component."""
    return Schema.model_validate({**TypeAdapter(kind).json_schema(), **extra})


_RETRY_AFTER = Header(description="Seconds to wait", param_schema=schema_of(int))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A successful answer: JSON of `model`, or content of other types."""

    description: str
    model: type[BaseModel] | None = None
    example: Any = None
    content: dict[str, MediaType] = field(default_factory=dict)
    headers: dict[str, Header] = field(default_factory=dict)

    def response(self) -> Response:
        content = dict(self.content)
        if self.model:
            schema: PydanticSchema[Any] = PydanticSchema(schema_class=self.model)
            content["application/json"] = MediaType(media_type_schema=schema, example=self.example)
        return Response(
            description=self.description, content=content or None, headers=dict(self.headers) or None
        )


def operation(
    tag: str,
    summary: str,
    *,
    name: str,
    replies: dict[int, Reply],
    raises: Iterable[type[errors.MsaasError]] = (),
    description: str | None = None,
    parameters: Iterable[Parameter] = (),
    body: RequestBody | None = None,
    statuses: Iterable[int] = (),
) -> Operation:
    """Return an operation. `raises` are the errors that it answers with, and `statuses` those without a code.

    An operation that may ask for a key says so.
    """
    kinds = tuple(dict.fromkeys(raises))
    responses: dict[str, Response | Reference] = {
        str(status): reply.response() for status, reply in replies.items()
    }
    responses |= {str(status): _reference(status) for status in (*GENERAL, *statuses)}
    responses |= _problems(kinds)
    return Operation(
        tags=[tag],
        summary=summary,
        description=description,
        operationId=name,
        parameters=list(parameters) or None,
        requestBody=body,
        responses=dict(sorted(responses.items())),
        security=[{}, {"key": []}] if errors.MissingKey in kinds else [],
    )


def _problems(kinds: Errors) -> dict[str, Response | Reference]:
    by_status: dict[int, list[errors.MsaasError]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind()).value, []).append(kind())
    return {str(status): _problem(status, found) for status, found in by_status.items()}


def _problem(status: int, found: list[errors.MsaasError]) -> Response:
    return Response(
        description=" ".join(dict.fromkeys(error.title for error in found)),
        content={
            PROBLEM_TYPE: MediaType(
                media_type_schema=PydanticSchema(schema_class=Problem),
                examples={error.code: {"value": _example(status, error)} for error in found},
            )
        },
        headers={"Retry-After": _RETRY_AFTER} if status in (429, 503) else None,
    )


def _example(status: int, error: errors.MsaasError) -> dict[str, Any]:
    return {
        "type": f"urn:msaas:error:{error.code}",
        "title": error.title,
        "status": status,
        "detail": str(error),
        "instance": "/apiv1/…",
        "reason": str(error),
    }


def general_responses() -> dict[str, Response]:
    """Return the components that `operation` refers to: answers without a code."""
    titles = {**GENERAL, 404: "Not Found", 416: "Requested Range Not Satisfiable"}
    return {f"status{status}": _general(status, title) for status, title in titles.items()}


def _general(status: int, title: str) -> Response:
    example = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": f"{title}.",
        "instance": "/apiv1/…",
        "reason": f"{title}.",
    }
    schema: PydanticSchema[Any] = PydanticSchema(schema_class=Problem)
    return Response(
        description=title, content={PROBLEM_TYPE: MediaType(media_type_schema=schema, example=example)}
    )


def _reference(status: int) -> Reference:
    return Reference.model_validate({"$ref": f"#/components/responses/status{status}"})


# Parameters


def in_path(name: str, description: str, schema: Schema, *, example: Any = None) -> Parameter:
    return _parameter("path", name, description, schema, required=True, example=example)


def in_query(name: str, description: str | None, schema: Schema, *, example: Any = None) -> Parameter:
    return _parameter("query", name, description, schema, example=example)


def in_header(name: str, description: str, *, example: str | None = None) -> Parameter:
    return _parameter("header", name, description, schema_of(str), example=example)


def _parameter(
    place: str, name: str, description: str | None, schema: Schema, *, required: bool = False, example: Any
) -> Parameter:
    return Parameter.model_validate(
        {
            "name": name,
            "in": place,
            "required": required,
            "description": description,
            "schema": schema,
            "example": example,
        }
    )


def bytes_of(*media_types: str) -> dict[str, MediaType]:
    """Return content that is a file: its schema is empty."""
    return {media_type: MediaType(media_type_schema=Schema()) for media_type in media_types}


def text_of(media_type: str, example: Any = None) -> dict[str, MediaType]:
    return {media_type: MediaType(media_type_schema=schema_of(str), example=example)}
