"""`POST /apiv1/separate`."""

from typing import Any

from flask import Blueprint, request

from msaas_rest.bootstrap import Parts
from msaas_rest.separation.reading import submission_of
from msaas_rest.separation.use_case import Separation, check_room


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("separation", __name__)
    settings = parts.settings
    separation = Separation(
        parts.queue,
        parts.outbox,
        parts.tracks,
        parts.uploads,
        default_model=settings.demucs_model,
        max_duration_s=settings.max_duration_s,
    )

    @blueprint.post("/apiv1/separate")
    def separate() -> dict[str, Any]:
        # Asked first: an upload that cannot be announced need not be read.
        check_room(parts.queue, max_queued=settings.max_queued)
        with (
            parts.budget.share() as share,
            submission_of(
                request,
                share,
                max_bytes=settings.max_upload_bytes,
                default_model=settings.demucs_model,
            ) as submission,
        ):
            return accepted(separation.request(submission))

    return blueprint


def accepted(job_id: str) -> dict[str, Any]:
    """The reply, with the fields of every client in use."""
    return {
        "hash": job_id,
        "songhash": job_id,
        "reason": "Song enqueued for separation",
        "message": "File uploaded to MinIO and task queued for processing",
    }
