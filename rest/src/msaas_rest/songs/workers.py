"""Route of external workers: `POST /songs/<hash>/upload_result`."""

from flask import Blueprint, Response, request

from msaas.errors import SongNotFound
from msaas.result_facts import ResultFacts
from msaas.songs import is_sha256
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.body import open_body
from msaas_rest.http.envelope import envelope
from msaas_rest.http.uploads import check_content_encoding
from msaas_rest.settings import RESULT_COPIES
from msaas_rest.songs.use_cases import receiver_of

#: The blueprint of the route. Its guard checks the token of the worker.
WORKERS = "songs_api.workers"


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("workers", __name__)
    receiver = receiver_of(deps)

    @blueprint.post("/<song>/upload_result")
    def upload_result(song: str) -> Response:
        check_content_encoding(request)
        song_hash = song.lower()
        if not is_sha256(song_hash):
            raise SongNotFound(f"Song {song[:140]!r} is unknown.")
        # Before the upload: the result of a deleted song need not be read.
        receiver.check_wanted(song_hash)
        # Each result is a client of its own: all workers together need more than the share of one client.
        body = open_body(
            request,
            max_bytes=receiver.limits.archive_bytes,
            copies=RESULT_COPIES,
            client=f"result:{song_hash}",
        )
        receiver.receive(song_hash, body, ResultFacts.of(dict(request.headers)))
        return envelope()

    return blueprint
