"""Routes of stems: download and removal, each in two forms."""

from collections.abc import Iterable

from openapi_pydantic import Header, Operation, Parameter, PathItem, Schema

from msaas import errors
from msaas.formats import FORMATS
from msaas_rest.openapi.fields import EXAMPLE_HASH, ID, NAME, PART
from msaas_rest.openapi.following import job_id, part
from msaas_rest.openapi.messages import Removed
from msaas_rest.openapi.operations import (
    CHANGING,
    OF_A_JOB,
    STORED,
    Reply,
    bytes_of,
    in_header,
    in_path,
    in_query,
    operation,
    schema_of,
)

TAG = "stems"
AUDIO = tuple(dict.fromkeys(row.media_type for row in FORMATS.values()))
_RAISES = (
    *(*OF_A_JOB, *STORED),
    *(errors.TrackNotFound, errors.UnknownStem, errors.UnknownFormat),
)
RANGE_HEADERS = (
    in_header("Range", "One range of bytes", example="bytes=0-1023"),
    in_header("If-Range", "The range, if the file has this `ETag`"),
    in_header("If-None-Match", "304, if the file has this `ETag`"),
)
_REMOVED = {"hash": EXAMPLE_HASH, "track": "vocals", "reason": "Track removed"}


def paths() -> dict[str, PathItem]:
    return {
        "/apiv1/track/{job_id}/{part}": PathItem(get=_download("download_stem", job_id(), part())),
        "/apiv1/track/{name}": PathItem(get=_download("download_stem_by_name", _name())),
        "/apiv1/archive/{job_id}.zip": PathItem(get=_archive()),
        "/apiv1/remove/{job_id}/{part}": _removal("remove_stem", job_id(), part()),
        "/apiv1/remove/{name}": _removal("remove_stem_by_name", _name()),
    }


def _name() -> Parameter:
    schema = Schema(type="string", pattern=f"^{ID}-{PART}$")
    return in_path("name", "`<id>-<stem>`", schema, example=f"{EXAMPLE_HASH}-vocals.mp3")


def _archive() -> Operation:
    stems = Schema(type="string", pattern=f"^({NAME}(,{NAME})*)?$")
    return _file(
        "Download all stems as a ZIP",
        name="download_archive",
        parameters=[job_id(), in_query("stems", "Only these, with commas between", stems, example="vocals")],
        media_types=("application/zip",),
    )


def _download(name: str, *where: Parameter) -> Operation:
    return _file("Download a stem", name=name, parameters=where, media_types=AUDIO)


def _file(
    summary: str, *, name: str, parameters: Iterable[Parameter], media_types: tuple[str, ...]
) -> Operation:
    headers = {
        each: Header(description=text, param_schema=schema_of(str))
        for each, text in {
            "ETag": "Stands for the bytes. That of a stem is its SHA-256",
            "Accept-Ranges": "`bytes`",
            "Content-Disposition": "The name of the file",
        }.items()
    }
    return operation(
        TAG,
        summary,
        name=name,
        parameters=[
            *parameters,
            in_query(
                "inline", "A browser plays the file and does not save it", Schema(type="string", enum=["1"])
            ),
            *RANGE_HEADERS,
        ],
        replies={
            200: Reply(description="The file", content=bytes_of(*media_types), headers=headers),
            206: Reply(description="A range of it", content=bytes_of(*media_types), headers=headers),
            304: Reply(description="The client has this file."),
        },
        raises=(*_RAISES, errors.TooBusy),
        statuses=[416],
    )


def _removal(name: str, *where: Parameter) -> PathItem:
    return PathItem(
        get=_remove(f"{name}_by_get", "Remove a stem, as older clients do it", *where),
        delete=_remove(name, "Remove a stem", *where),
    )


def _remove(name: str, summary: str, *where: Parameter) -> Operation:
    return operation(
        TAG,
        summary,
        name=name,
        parameters=where,
        replies={200: Reply(description="Removed", model=Removed, example=_REMOVED)},
        raises=(*_RAISES, *CHANGING),
    )
