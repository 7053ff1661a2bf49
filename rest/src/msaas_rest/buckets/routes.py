"""`/apiv1/bucket` and `/apiv1/delete_contents`, which exist only where they are asked for."""

from flask import Blueprint, request
from werkzeug.exceptions import MethodNotAllowed

from msaas.redis_log import log_info
from msaas_rest.bootstrap import Parts
from msaas_rest.guards import check_site


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("buckets", __name__)
    tracks = parts.tracks

    @blueprint.get("/apiv1/bucket")
    def bucket() -> dict[str, dict[str, list[str]]]:
        tracks.prepare()
        return {
            "buckets": {
                tracks.input_bucket: [song.key for song in tracks.songs()],
                tracks.output_bucket: [result.key for result in tracks.results()],
            }
        }

    @blueprint.route("/apiv1/delete_contents", methods=["GET", "DELETE"])
    def delete_contents() -> dict[str, str]:
        if request.method == "HEAD":
            raise MethodNotAllowed(["GET", "DELETE"])
        check_site(request, changes=True)
        tracks.prepare()
        tracks.delete_contents()
        log_info("store_emptied")
        return {"reason": "Contents deleted"}

    return blueprint
