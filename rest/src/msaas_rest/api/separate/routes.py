"""`POST /apiv1/separate`."""

from typing import Any

from flask import Blueprint, g, request

from msaas_rest.api.separate.reading import read_submission
from msaas_rest.api.separate.submission import Accepted, Submitter, check_room
from msaas_rest.bootstrap import Dependencies


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("separate", __name__)
    settings = deps.settings
    submitter = Submitter(
        queue=deps.queue,
        outbox=deps.outbox,
        song_store=deps.song_store,
        uploads=deps.uploads,
        default_model=settings.demucs_model,
        max_duration_s=settings.max_duration_s,
        max_queued=settings.max_queued,
    )

    @blueprint.post("/separate")
    def separate() -> dict[str, Any]:
        # Before the upload: a song that cannot be queued need not be read.
        check_room(deps.queue, max_queued=settings.max_queued)
        with read_submission(
            request,
            max_bytes=settings.max_upload_bytes,
            default_model=settings.demucs_model,
            caller=g.caller,
            request_id=g.request_id,
        ) as submission:
            return _present(submitter.submit(submission))

    return blueprint


def _present(accepted: Accepted) -> dict[str, Any]:
    """Return the reply with the fields of every client in use."""
    return {
        "hash": accepted.job_id,
        "songhash": accepted.job_id,
        "request_id": accepted.request_id,
        "reason": "Song enqueued for separation",
        "message": "File uploaded to MinIO and task queued for processing",
    }
