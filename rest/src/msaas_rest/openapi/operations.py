"""Parts of an operation: its parameters, its replies, and the problems of its errors."""

from collections.abc import Callable, Iterable
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
from msaas_rest.http.envelope import render_texts
from msaas_rest.http.problems import PROBLEM_TYPE
from msaas_rest.http.statuses import status_of
from msaas_rest.openapi.messages.base import EnvelopeOfErrors, Problem

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
    presenter: "Presenter | None" = None,
) -> Operation:
    """Return an operation. `raises` are the errors that it answers with, and `statuses` those without a code.

    An operation that may ask for a key, or for a session, says so.
    """
    presenter = presenter or PROBLEMS
    kinds = tuple(dict.fromkeys(raises))
    responses: dict[str, Response | Reference] = {
        str(status): reply.response() for status, reply in replies.items()
    }
    responses |= {str(status): presenter.reference(status) for status in (*GENERAL, *statuses)}
    responses |= _failures(kinds, presenter)
    return Operation(
        tags=[tag],
        summary=summary,
        description=description,
        operationId=name,
        parameters=list(parameters) or None,
        requestBody=body,
        responses=dict(sorted(responses.items())),
        security=_security(kinds),
    )


def _security(kinds: Errors) -> list[dict[str, list[str]]]:
    if errors.MissingKey in kinds:
        return [{}, {"key": []}]
    if errors.WrongWorkerToken in kinds:
        return [{"worker": []}]
    if errors.SessionUnknown in kinds:
        return [{"session": []}] if errors.LoginRequired in kinds else [{}, {"session": []}]
    return []


@dataclass(frozen=True, kw_only=True)
class Presenter:
    """How an API shows an error. `prefix` begins the names of the answers without a code."""

    media_type: str
    model: type[BaseModel]
    prefix: str
    example: Callable[[int, str, errors.MsaasError | None], dict[str, Any]]

    def reference(self, status: int) -> Reference:
        return Reference.model_validate({"$ref": f"#/components/responses/{self.prefix}{status}"})

    def failure(self, status: int, found: list[errors.MsaasError]) -> Response:
        return Response(
            description=" ".join(dict.fromkeys(error.title for error in found)),
            content={
                self.media_type: MediaType(
                    media_type_schema=PydanticSchema(schema_class=self.model),
                    examples={
                        error.code: {"value": self.example(status, error.title, error)} for error in found
                    },
                )
            },
            headers={"Retry-After": _RETRY_AFTER} if status in (429, 503) else None,
        )

    def general(self, status: int, title: str) -> Response:
        schema: PydanticSchema[Any] = PydanticSchema(schema_class=self.model)
        example = self.example(status, title, None)
        return Response(
            description=title,
            content={self.media_type: MediaType(media_type_schema=schema, example=example)},
        )


def _failures(kinds: Errors, presenter: Presenter) -> dict[str, Response | Reference]:
    by_status: dict[int, list[errors.MsaasError]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind()).value, []).append(kind())
    return {str(status): presenter.failure(status, found) for status, found in by_status.items()}


def _problem_example(status: int, title: str, error: errors.MsaasError | None) -> dict[str, Any]:
    if error is None:
        return _general_example(status, title)
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
    return {
        f"{presenter.prefix}{status}": presenter.general(status, title)
        for presenter in (PROBLEMS, ENVELOPES)
        for status, title in titles.items()
    }


def _general_example(status: int, title: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": f"{title}.",
        "instance": "/apiv1/…",
        "reason": f"{title}.",
    }


def _envelope_example(_: int, title: str, error: errors.MsaasError | None) -> dict[str, Any]:
    return {"ok": False, "errors": render_texts(error, detail=str(error) if error else f"{title}.")}


PROBLEMS = Presenter(media_type=PROBLEM_TYPE, model=Problem, prefix="status", example=_problem_example)
ENVELOPES = Presenter(
    media_type="application/json", model=EnvelopeOfErrors, prefix="envelope", example=_envelope_example
)


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
            # An empty parameter of a query counts as absent.
            "allowEmptyValue": place == "query",
        }
    )


def bytes_of(*media_types: str) -> dict[str, MediaType]:
    """Return content that is a file: its schema is empty."""
    return {media_type: MediaType(media_type_schema=Schema()) for media_type in media_types}


def text_of(media_type: str, example: Any = None) -> dict[str, MediaType]:
    return {media_type: MediaType(media_type_schema=schema_of(str), example=example)}
