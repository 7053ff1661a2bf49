"""`GET /apiv1/track/…` serves a stem, `GET` and `DELETE /apiv1/remove/…` remove one; each has two forms."""

import os
from typing import IO

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wsgi import wrap_file

from msaas.redis_log import log_info
from msaas_rest.bootstrap import Parts
from msaas_rest.guards import check_site
from msaas_rest.tracks.use_case import Track, parse_track, parse_track_name


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("tracks", __name__)

    @blueprint.get("/apiv1/track/<job_id>/<part>")
    def track(job_id: str, part: str) -> Response:
        return serve(parse_track(job_id, part))

    @blueprint.get("/apiv1/track/<name>")
    def track_by_name(name: str) -> Response:
        return serve(parse_track_name(name))

    @blueprint.route("/apiv1/remove/<job_id>/<part>", methods=["GET", "DELETE"])
    def remove(job_id: str, part: str) -> dict[str, str]:
        return removed(parse_track(job_id, part))

    @blueprint.route("/apiv1/remove/<name>", methods=["GET", "DELETE"])
    def remove_by_name(name: str) -> dict[str, str]:
        return removed(parse_track_name(name))

    def serve(track: Track) -> Response:
        file = parts.tracks.open_stem(track.job_id, track.stem)
        log_info("track_served", id=track.job_id, stem=track.stem)
        return download(file, track)

    def removed(track: Track) -> dict[str, str]:
        if request.method == "HEAD":
            raise MethodNotAllowed(["GET", "DELETE"])
        check_site(request, changes=True)
        parts.tracks.remove_stem(track.job_id, track.stem)
        log_info("track_removed", id=track.job_id, stem=track.stem)
        return {"hash": track.job_id, "track": track.part, "reason": "Track removed"}

    return blueprint


def download(file: IO[bytes], track: Track) -> Response:
    """Return the file as an attachment, or the range of it that was asked for."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    response = Response(
        wrap_file(request.environ, file),
        mimetype=track.media_type,
        direct_passthrough=True,
    )
    response.content_length = size_bytes
    response.headers["Content-Disposition"] = f'attachment; filename="{track.file_name}"'
    response.make_conditional(request, accept_ranges=True, complete_length=size_bytes)
    return response
