"""Routes of stems: `/track/…` serves one, `/remove/…` removes one, `/archive/…` serves all in a ZIP."""

from flask import Blueprint, Response, g, request

from msaas.errors import SongInUse
from msaas.logs import get_logger
from msaas.songs import source_of
from msaas_rest.api.tracks.serving import send_archive, send_stem
from msaas_rest.api.tracks.track_ref import TrackRef, parse_track, parse_track_name
from msaas_rest.bootstrap import Dependencies
from msaas_rest.catalogue_gate import CatalogueGate
from msaas_rest.http.api_keys import Scope
from msaas_rest.http.caller import Caller
from msaas_rest.http.origin_checks import check_changing_get

log = get_logger()


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("tracks", __name__)
    song_store = deps.song_store

    @blueprint.get("/track/<job_id>/<part>")
    def serve_track(job_id: str, part: str) -> Response:
        return send_stem(parse_track(job_id, part), song_store)

    @blueprint.get("/track/<name>")
    def serve_track_by_name(name: str) -> Response:
        return send_stem(parse_track_name(name), song_store)

    @blueprint.get("/archive/<job_id>.zip")
    def serve_archive(job_id: str) -> Response:
        return send_archive(job_id, request.args.get("stems"), song_store)

    @blueprint.route("/remove/<job_id>/<part>", methods=["GET", "DELETE"])
    def remove_track(job_id: str, part: str) -> dict[str, str]:
        return _remove(parse_track(job_id, part), deps)

    @blueprint.route("/remove/<name>", methods=["GET", "DELETE"])
    def remove_track_by_name(name: str) -> dict[str, str]:
        return _remove(parse_track_name(name), deps)

    return blueprint


def _remove(track: TrackRef, deps: Dependencies) -> dict[str, str]:
    check_changing_get(request)
    g.caller.require(Scope.WRITE)
    song = source_of(track.job_id)
    _check_unused(song, deps.catalogue)
    _check_unshared(song, g.caller, deps)
    deps.song_store.remove_stem(track.job_id, track.stem, extension=track.extension)
    log.info("track_removed", job_id=track.job_id, stem=track.stem)
    return {"hash": track.job_id, "track": track.part, "reason": "Track removed"}


def _check_unused(song_hash: str, catalogue: CatalogueGate) -> None:
    """Raise `SongInUse` if a user has the song, or `DatabaseUnavailable`."""
    if catalogue.exists and catalogue.open().songs.has_uploader(song_hash):
        raise SongInUse(f"Song {song_hash} is in the library of a user. Its stems are removed with it.")


def _check_unshared(song_hash: str, caller: Caller, deps: Dependencies) -> None:
    """Raise `SongInUse` if a key of another name sent the song. Callers that see all songs may remove it."""
    if caller.sees_all:
        return
    names = {key.name for key in deps.settings.api_keys.keys} - {"", caller.name}
    if any(deps.registry.known_songs(name, [song_hash]) for name in sorted(names)):
        raise SongInUse(f"Song {song_hash} was sent by another client, too. An admin may remove its stems.")
