"""`GET /apiv1/limits`: what a request may send and ask for."""

from typing import Any

from flask import Blueprint

from msaas.containers import CONTAINERS, Container, Decoder
from msaas.formats import DEFAULT_FORMAT, FORMATS, Format
from msaas.queue.abilities import FFMPEG
from msaas_rest.api.fleet import find_fleet
from msaas_rest.bootstrap import Dependencies


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("limits", __name__)
    settings = deps.settings

    @blueprint.get("/limits")
    def list_limits() -> dict[str, Any]:
        fleet = find_fleet(deps.queue)
        has_ffmpeg = None if fleet is None else not fleet.lacks(FFMPEG)
        return {
            "max_upload_mb": settings.max_upload_mb,
            "max_song_upload_mb": settings.max_song_upload_mb,
            "max_duration_s": settings.max_duration_s,
            "inputs": [_describe_input(row, has_ffmpeg=has_ffmpeg) for row in CONTAINERS.values()],
            "default_format": DEFAULT_FORMAT,
            "formats": [_describe_format(row, has_ffmpeg=has_ffmpeg) for row in FORMATS.values()],
        }

    return blueprint


def _describe_input(row: Container, *, has_ffmpeg: bool | None) -> dict[str, Any]:
    available = row.decoder is not Decoder.FFMPEG or has_ffmpeg
    return {"name": row.name, "extension": row.extension, "available": available}


def _describe_format(row: Format, *, has_ffmpeg: bool | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "extension": row.extension,
        "media_type": row.media_type,
        "bit_rates": list(row.bit_rates),
        "bits": list(row.bits),
        "available": not row.needs_ffmpeg or has_ffmpeg,
    }
