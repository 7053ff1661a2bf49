"""Routes of stems: download and removal, each in two forms."""

from functools import partial

from openapi_pydantic import Operation, Parameter, PathItem, Schema

from msaas import errors
from msaas_rest.openapi.downloads import AUDIO, chosen_stems, file_operation
from msaas_rest.openapi.fields import EXAMPLE_HASH, ID, PART
from msaas_rest.openapi.following import job_id, part
from msaas_rest.openapi.messages.following import Removed
from msaas_rest.openapi.operations import CHANGING, OF_A_JOB, STORED, Reply, in_path, operation

_operation = partial(operation, "stems")
_RAISES = (
    *(*OF_A_JOB, *STORED),
    *(errors.TrackNotFound, errors.UnknownStem, errors.UnknownFormat),
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
    return file_operation(
        _operation,
        "Download all stems as a ZIP",
        name="download_archive",
        parameters=[job_id(), chosen_stems()],
        media_types=["application/zip"],
        raises=_RAISES,
    )


def _download(name: str, *where: Parameter) -> Operation:
    return file_operation(
        _operation,
        "Download a stem",
        name=name,
        parameters=where,
        media_types=AUDIO,
        raises=_RAISES,
    )


def _removal(name: str, *where: Parameter) -> PathItem:
    return PathItem(
        get=_remove(f"{name}_by_get", "Remove a stem, as older clients do it", *where),
        delete=_remove(name, "Remove a stem", *where),
    )


def _remove(name: str, summary: str, *where: Parameter) -> Operation:
    return _operation(
        summary,
        name=name,
        parameters=where,
        replies={200: Reply(description="Removed", model=Removed, example=_REMOVED)},
        raises=(*_RAISES, *CHANGING, errors.SongInUse, errors.DatabaseUnavailable),
    )
