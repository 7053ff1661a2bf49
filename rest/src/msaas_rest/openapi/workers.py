"""Route of external workers: the upload of a result."""

from openapi_pydantic import Operation, PathItem, RequestBody, Schema

from msaas import errors
from msaas_rest.openapi.fields import EXAMPLE_HASH
from msaas_rest.openapi.messages.base import Envelope
from msaas_rest.openapi.operations import CHANGING, Reply, bytes_of, in_path
from msaas_rest.openapi.songs import OPEN, STATED, describe, success


def paths() -> dict[str, PathItem]:
    return {"/songs/{song}/upload_result": PathItem(post=_upload_result())}


def _upload_result() -> Operation:
    schema = Schema(type="string", pattern="^[0-9a-f]{64}$")
    return describe(
        "workers",
        "Upload the stems of a song",
        name="upload_result",
        description="Repeatable: the first result of a song stands. 410 for a song that was deleted.",
        parameters=[in_path("song", "SHA-256 of the song", schema, example=EXAMPLE_HASH)],
        body=RequestBody(
            description=(
                "A tar of `bass.mp3`, `drums.mp3`, `other.mp3` and `vocals.mp3`. `bass.peaks`, "
                "`drums.peaks`, `other.peaks`, `vocals.peaks` and `analysis.json` are optional."
            ),
            content=bytes_of("application/x-tar"),
            required=True,
        ),
        replies={200: Reply(description="The stems are stored", model=Envelope, example=success())},
        raises=(
            *(*OPEN, *CHANGING, *STATED),
            *(errors.WorkersRefused, errors.WrongWorkerToken, errors.SongNotFound, errors.SongDeleted),
            *(errors.MalformedStemTar, errors.StemTooLarge, errors.UnsupportedEncoding),
            *(errors.UploadTooSlow, errors.TooBusy, errors.SongTooLarge),
        ),
    )
