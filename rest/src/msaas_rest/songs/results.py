"""Routes of the results of a song: its parts, all stems in a ZIP, peaks, analysis, events, fragments."""

from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, jsonify, request

from msaas.errors import JobNotFound, PeaksNotFound
from msaas.jobs import JobState, JobStatus
from msaas_rest.api.jobs.following import follow
from msaas_rest.api.jobs.fragments import describe_fragments, find_fragments, open_fragment
from msaas_rest.api.jobs.status import find_status
from msaas_rest.api.tracks.serving import send_archive, send_song, send_stem
from msaas_rest.api.tracks.track_ref import parse_track
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.downloads import send_constant, send_object
from msaas_rest.http.envelope import envelope
from msaas_rest.songs.peaks import read_all_peaks

if TYPE_CHECKING:
    from msaas_catalogue import Song

#: The name of the song itself among its parts.
_SONG = "song"


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("results", __name__)
    queue, song_store = deps.queue, deps.song_store

    def find(song_id: int) -> "Song":
        """Raises `SongNotFound`, also for a song that the caller may not see."""
        return deps.catalogue.open().songs.get(song_id, user_id=g.visitor.user_id)

    @blueprint.get("/<int:song_id>/<file>")
    def serve_part(song_id: int, file: str) -> Response:
        song = find(song_id)
        if file.partition(".")[0] == _SONG:
            return send_song(song.song_hash, song_store, title=song.title)
        return send_stem(parse_track(song.job_id, file), song_store, title=song.title)

    @blueprint.get("/<int:song_id>/stems.zip")
    def serve_stems(song_id: int) -> Response:
        song = find(song_id)
        return send_archive(song.job_id, request.args.get("stems"), song_store, title=song.title)

    @blueprint.get("/<int:song_id>/peaks.json")
    def serve_peaks(song_id: int) -> Response:
        song = find(song_id)
        stems, is_whole = read_all_peaks(song.job_id, queue=queue, song_store=song_store)
        if not stems:
            raise PeaksNotFound(f"Song {song.id} has no peaks yet.")
        return jsonify({"samples_per_pair": 512, "is_whole": is_whole, "stems": stems})

    @blueprint.get("/<int:song_id>/analysis.json")
    def serve_analysis(song_id: int) -> Response:
        analysis = song_store.open_analysis(find(song_id).job_id)
        return send_constant(request, analysis, media_type="application/json", etag=analysis.etag)

    @blueprint.get("/<int:song_id>/events")
    def follow_song(song_id: int) -> Response:
        song = find(song_id)
        try:
            status = find_status(song.job_id, queue=queue, song_store=song_store)
        except JobNotFound:
            # A broker tells nothing about its songs. The stream ends, and the client connects again.
            if deps.song_queue is None or not song_store.has_song(song.song_hash):
                raise
            status = JobStatus(job_id=song.job_id, state=JobState.QUEUED, created_at=song.created_at)
        return follow(status, events=deps.events, client=g.visitor.owner)

    @blueprint.get("/<int:song_id>/pieces")
    def show_fragments(song_id: int) -> Response:
        return envelope(describe_fragments(find_fragments(find(song_id).job_id, queue=queue)))

    @blueprint.get("/<int:song_id>/pieces/<part>/<number>")
    def serve_fragment(song_id: int, part: str, number: str) -> Response:
        job_id = find(song_id).job_id
        mp3 = open_fragment(job_id, part, number, queue=queue, song_store=song_store)
        return send_object(mp3, media_type="audio/mpeg")

    return blueprint
