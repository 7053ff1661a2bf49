"""Operations that both APIs have: a file, events, fragments, analysis. `make` adds what differs."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from openapi_pydantic import Header, MediaType, Operation, Parameter, Schema

from msaas import errors
from msaas.formats import FORMATS
from msaas_rest.openapi.fields import EXAMPLE_HASH, NAME
from msaas_rest.openapi.messages.analysis import Analysis
from msaas_rest.openapi.operations import (
    Errors,
    Reply,
    bytes_of,
    in_header,
    in_path,
    in_query,
    schema_of,
)

#: `operation` with the tag and the presenter of an API. Takes the summary, and its other arguments.
Make = Callable[..., Operation]

AUDIO = tuple(dict.fromkeys(row.media_type for row in FORMATS.values()))
EXAMPLE_JOB: dict[str, Any] = {
    "songhash": EXAMPLE_HASH,
    "state": "done",
    "progress": 1.0,
    "position": None,
    "duration_s": 19.04,
    "playable_until_s": None,
    "model": "htdemucs",
    "requested_model": "htdemucs",
    "device": "cpu",
    "attempts": 1,
    "stems": ["drums", "bass", "other", "vocals"],
    "error": None,
    "created_at": "2026-11-29T19:44:33.398Z",
    "started_at": "2026-11-29T19:44:33.431Z",
    "finished_at": "2026-11-29T19:44:36.522Z",
    "eta_s": None,
}
EXAMPLE_FRAGMENTS: dict[str, Any] = {
    "playable_until_s": 10.24,
    "stems": ["drums", "bass", "other", "vocals"],
    "pieces": 2,
}
_EXAMPLE_ANALYSIS: dict[str, Any] = {
    "version": 1,
    "duration_s": 19.043,
    "loudness": {"integrated_lufs": -15.21, "sample_peak_dbfs": -0.83},
    "key": {
        "name": "A minor",
        "confidence": 0.81,
        "alternatives": [{"name": "C major", "confidence": 0.12}],
    },
    "tempo": {"bpm": 123.4, "confidence": 0.92, "alternatives": [{"bpm": 61.7, "confidence": 0.06}]},
    "beats": {
        "times_s": [0.012, 0.498, 0.985, 1.471],
        "confidence": 0.95,
        "bars": {"beats_per_bar": 4, "first_downbeat": 0, "confidence": 0.88},
    },
}
_EVENT_ID = "5e1c1f6a5b1c0d2f"
_FILE_HEADERS = {
    name: Header(description=text, param_schema=schema_of(str))
    for name, text in {
        "ETag": "Stands for the bytes. That of a stem is its SHA-256",
        "Accept-Ranges": "`bytes`",
        "Content-Disposition": "The name of the file",
    }.items()
}


def file_operation(
    make: Make,
    summary: str,
    *,
    name: str,
    parameters: Iterable[Parameter],
    media_types: Iterable[str],
    raises: Errors,
) -> Operation:
    """Describe a route that answers by `msaas_rest.http.downloads.stream`."""
    content = bytes_of(*media_types)
    inline = Schema(type="string", enum=["1"])
    return make(
        summary,
        name=name,
        parameters=[
            *parameters,
            in_query("inline", "A browser plays the file and does not save it", inline),
            in_header("Range", "One range of bytes", example="bytes=0-1023"),
            in_header("If-Range", "The range, if the file has this `ETag`"),
            in_header("If-None-Match", "304, if the file has this `ETag`"),
        ],
        replies={
            200: Reply(description="The file", content=content, headers=_FILE_HEADERS),
            206: Reply(description="A range of it", content=content, headers=_FILE_HEADERS),
            304: Reply(description="The client has this file."),
        },
        raises=(*raises, errors.TooBusy),
        statuses=[416],
    )


def chosen_stems() -> Parameter:
    schema = Schema(type="string", pattern=f"^({NAME}(,{NAME})*)?$")
    return in_query("stems", "Only these, with commas between", schema, example="vocals")


def stem() -> Parameter:
    return in_path("part", "A stem", Schema(type="string", pattern=f"^{NAME}$"), example="vocals")


def events_operation(
    make: Make, summary: str, *, name: str, description: str, of: Parameter, raises: Errors
) -> Operation:
    stream = f"retry: 2000\n\nid: {_EVENT_ID}\ndata: {json.dumps(EXAMPLE_JOB)}\n\n"
    return make(
        summary,
        name=name,
        description=description,
        parameters=[
            of,
            in_header("Last-Event-ID", "The last event that the client has", example=_EVENT_ID),
        ],
        replies={
            # Without a schema: tools take it for that of the stream, or of an event.
            200: Reply(
                description="The stream",
                content={"text/event-stream": MediaType(media_type_schema=Schema(), example=stream)},
            ),
            204: Reply(description="The job has ended, and the client has its last event."),
        },
        raises=(*raises, errors.TooBusy),
    )


def fragment_operation(make: Make, summary: str, *, name: str, of: Parameter, raises: Errors) -> Operation:
    number = in_path("number", "From 1 on", Schema(type="integer", minimum=1, maximum=999_999), example=1)
    return make(
        summary,
        name=name,
        parameters=[of, stem(), number],
        replies={200: Reply(description="The fragment", content=bytes_of("audio/mpeg"))},
        raises=(*raises, errors.UnknownStem, errors.FragmentNotFound),
    )


def analysis_operation(make: Make, summary: str, *, name: str, of: Parameter, raises: Errors) -> Operation:
    return make(
        summary,
        name=name,
        description="Estimates have a confidence from 0 to 1. An estimate that is missing is `null`.",
        parameters=[of, in_header("If-None-Match", "304, if the analysis has this `ETag`")],
        replies={
            200: Reply(description="The analysis", model=Analysis, example=_EXAMPLE_ANALYSIS),
            304: Reply(description="The client has it."),
        },
        raises=(*raises, errors.AnalysisNotFound),
    )
