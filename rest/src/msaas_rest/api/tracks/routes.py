"""Routes of stems: `/track/…` serves one, `/remove/…` removes one, `/archive/…` serves all in a ZIP."""

from contextlib import suppress

from flask import Blueprint, Response, g, request

from msaas.errors import ObjectChanged, TooBusy
from msaas.formats import format_of_extension
from msaas.logs import get_logger
from msaas.storage.song_store import SongStore
from msaas_rest.api.tracks.archive import Archive, find_archive
from msaas_rest.api.tracks.track_ref import TrackRef, parse_track, parse_track_name
from msaas_rest.bootstrap import Dependencies
from msaas_rest.file_names import archive_name, stem_name
from msaas_rest.http.api_keys import Scope
from msaas_rest.http.downloads import stream
from msaas_rest.http.origin_checks import check_changing_get

#: A worker may store a stem again between its verification and its download.
_TRIES = 2

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

    @blueprint.get("/archive/<job_id>.zip")
    def serve_archive(job_id: str) -> Response:
        return _serve_archive(job_id, request.args.get("stems"), song_store)

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
    stem = song_store.open_stem(
        track.job_id, track.stem, extension=track.extension, verify=request.method != "HEAD"
    )
    return stream(
        request,
        stem.read,
        size_bytes=stem.entry.size_bytes,
        etag=stem.entry.sha256,
        media_type=format_of_extension(stem.entry.extension).media_type,
        file_name=stem_name(stem.stem, stem.entry, title=stem.title),
    )


def _serve_archive(job_id: str, stems: str | None, song_store: SongStore) -> Response:
    for _ in range(_TRIES):
        with suppress(ObjectChanged):
            archive = find_archive(job_id, stems, song_store=song_store)
            response = _download_archive(archive)
            log.info("archive_served", job_id=job_id, status=response.status_code)
            return response
    raise TooBusy(f"The stems of job {job_id} are being stored again. Try again in 5 s.")


def _download_archive(archive: Archive) -> Response:
    return stream(
        request,
        archive.zip.read,
        size_bytes=archive.zip.size_bytes,
        etag=archive.etag,
        media_type="application/zip",
        file_name=archive_name(archive.job_id, title=archive.title),
    )


def _remove(track: TrackRef, song_store: SongStore) -> dict[str, str]:
    check_changing_get(request)
    g.caller.require(Scope.WRITE)
    song_store.remove_stem(track.job_id, track.stem, extension=track.extension)
    log.info("track_removed", job_id=track.job_id, stem=track.stem)
    return {"hash": track.job_id, "track": track.part, "reason": "Track removed"}
