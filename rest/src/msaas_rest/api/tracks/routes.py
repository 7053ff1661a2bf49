"""`GET /apiv1/track/…` serves a stem, `GET` and `DELETE /apiv1/remove/…` remove one. Each has two forms."""

import re
from contextlib import suppress

from flask import Blueprint, Response, g, request

from msaas.errors import ObjectChanged, TooBusy
from msaas.formats import format_of_extension
from msaas.logs import get_logger
from msaas.storage.song_store import SongStore, StoredStem
from msaas_rest.api.tracks.track_ref import TrackRef, parse_track, parse_track_name
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.api_keys import Scope
from msaas_rest.http.downloads import stream
from msaas_rest.http.origin_checks import check_changing_get

#: A worker may store a stem again between its verification and its download.
_TRIES = 2

#: Characters that some file system does not allow in names.
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_MAX_TITLE = 120

log = get_logger()


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("tracks", __name__)
    song_store = deps.song_store

    @blueprint.get("/track/<job_id>/<part>")
    def serve_track(job_id: str, part: str) -> Response:
        return _serve(parse_track(job_id, part), song_store)

    @blueprint.get("/track/<name>")
    def serve_track_by_name(name: str) -> Response:
        return _serve(parse_track_name(name), song_store)

    @blueprint.route("/remove/<job_id>/<part>", methods=["GET", "DELETE"])
    def remove_track(job_id: str, part: str) -> dict[str, str]:
        return _remove(parse_track(job_id, part), song_store)

    @blueprint.route("/remove/<name>", methods=["GET", "DELETE"])
    def remove_track_by_name(name: str) -> dict[str, str]:
        return _remove(parse_track_name(name), song_store)

    return blueprint


def _serve(track: TrackRef, song_store: SongStore) -> Response:
    for _ in range(_TRIES):
        with suppress(ObjectChanged):
            response = _download(track, song_store)
            log.info("track_served", job_id=track.job_id, stem=track.stem, status=response.status_code)
            return response
    raise TooBusy(f"Stem {track.stem} of job {track.job_id} is being stored again. Try again in 5 s.")


def _download(track: TrackRef, song_store: SongStore) -> Response:
    stem = song_store.open_stem(track.job_id, track.stem, extension=track.extension)
    return stream(
        request,
        stem.read,
        size_bytes=stem.entry.size_bytes,
        etag=stem.entry.sha256,
        media_type=format_of_extension(stem.entry.extension).media_type,
        file_name=_file_name(stem),
    )


def _file_name(stem: StoredStem) -> str:
    """Return `<title> (<stem>).<extension>`, or the name of the object if the song has no title."""
    title = _NOT_IN_NAMES.sub(" ", stem.title).strip(" .")[:_MAX_TITLE]
    return f"{title} ({stem.stem}).{stem.entry.extension}" if title else stem.entry.file


def _remove(track: TrackRef, song_store: SongStore) -> dict[str, str]:
    check_changing_get(request)
    g.caller.require(Scope.WRITE)
    song_store.remove_stem(track.job_id, track.stem, extension=track.extension)
    log.info("track_removed", job_id=track.job_id, stem=track.stem)
    return {"hash": track.job_id, "track": track.part, "reason": "Track removed"}
