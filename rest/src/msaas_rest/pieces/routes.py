"""`GET /apiv1/job/<id>/pieces` and `GET /apiv1/job/<id>/pieces/<part>/<number>`."""

from typing import Any

from flask import Blueprint, Response

from msaas_rest.bootstrap import Parts
from msaas_rest.pieces.use_case import piece, pieces_of


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("pieces", __name__)

    @blueprint.get("/apiv1/job/<job_id>/pieces")
    def all_pieces(job_id: str) -> dict[str, Any]:
        pieces = pieces_of(job_id, queue=parts.queue)
        return {
            "songhash": pieces.job_id,
            "playable_until_s": pieces.until_s,
            "stems": list(pieces.stems),
            "pieces": pieces.count,
        }

    @blueprint.get("/apiv1/job/<job_id>/pieces/<part>/<number>")
    def one_piece(job_id: str, part: str, number: str) -> Response:
        mp3 = piece(job_id, part, number, queue=parts.queue, tracks=parts.tracks)
        return Response(mp3, mimetype="audio/mpeg", headers={"Cache-Control": "no-store"})

    return blueprint
