"""`/apiv1/bucket` and `/apiv1/delete_contents`, which exist only with `DEBUG_ENDPOINTS=1`."""

from flask import Blueprint, g, request

from msaas.logs import get_logger
from msaas.storage.names import job_of, song_of
from msaas_rest.api.visibility import visible_jobs
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.api_keys import Scope
from msaas_rest.http.origin_checks import check_changing_get

log = get_logger()


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("debug", __name__)
    song_store = deps.song_store

    @blueprint.get("/bucket")
    def list_buckets() -> dict[str, dict[str, list[str]]]:
        g.caller.require(Scope.ADMIN)
        song_store.prepare()
        songs = [song.key for song in song_store.songs()]
        results = [result.key for result in song_store.results()]
        visible = set(
            visible_jobs(
                [*map(song_of, songs), *map(job_of, results)], caller=g.caller, registry=deps.registry
            )
        )
        return {
            "buckets": {
                song_store.input_bucket: [key for key in songs if song_of(key) in visible],
                song_store.output_bucket: [key for key in results if job_of(key) in visible],
            }
        }

    @blueprint.route("/delete_contents", methods=["GET", "DELETE"])
    def delete_contents() -> dict[str, str]:
        g.caller.require(Scope.ADMIN)
        check_changing_get(request)
        song_store.prepare()
        song_store.delete_contents()
        log.info("store_emptied")
        return {"reason": "Contents deleted"}

    return blueprint
