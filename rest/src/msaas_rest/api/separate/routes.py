"""`POST /apiv1/separate` and `HEAD /apiv1/song/<hash>`."""

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from msaas.queue.idempotency import IdempotentRequest
from msaas.songs import parse_song_hash
from msaas_rest.api.separate.idempotency_key import HEADER, answer_once, parse_idempotency_key
from msaas_rest.api.separate.known_songs import check_song_visible, find_known_song
from msaas_rest.api.separate.reading import Form, check_size, read_form
from msaas_rest.api.separate.submission import Accepted, HashSubmission, Submission, Submitter, check_room
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.fetched import open_url

#: The reply is that of an earlier request with the same key.
REPLAYED = "Idempotent-Replayed"


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("separate", __name__)
    settings = deps.settings
    submitter = submitter_of(deps)

    @blueprint.post("/separate")
    def separate() -> Response:
        key = parse_idempotency_key(request.headers.get(HEADER))
        # Before the upload: a song that cannot be queued need not be read. An earlier reply needs no room.
        if key is None or not deps.idempotency.knows(g.caller.owner, key):
            check_room(deps.queue, max_queued=settings.max_queued)
        with read_form(
            request,
            max_bytes=settings.max_upload_bytes,
            default_model=settings.demucs_model,
            client=g.caller.owner,
        ) as form:
            if key is None:
                return jsonify(accept(form))
            reply, is_earlier = answer_once(
                lambda: accept(form),
                request=IdempotentRequest(g.caller.owner, key, form.digest()),
                idempotency=deps.idempotency,
                environ=request.environ,
            )
        response = jsonify(reply)
        if is_earlier:
            response.headers[REPLAYED] = "true"
        return response

    def accept(form: Form) -> dict[str, Any]:
        order: dict[str, Any] = {
            "recipe": form.recipe,
            "callback": form.callback,
            "trace_id": g.request_id,
            "owner": g.caller.owner,
            "key_name": g.caller.name,
        }
        if form.song_hash:
            check_song_visible(form.song_hash, caller=g.caller, registry=deps.registry)
            return _present(submitter.submit_hash(HashSubmission(song_hash=form.song_hash, **order)))
        max_bytes = settings.max_upload_bytes
        song = form.song or open_url(
            request,
            form.url,
            max_bytes=max_bytes,
            client=g.caller.owner,
            # With a key the client comes again for the reply.
            outlives_client=HEADER in request.headers,
        )
        size_bytes = check_size(song, max_bytes)
        return _present(submitter.submit(Submission(song=song, size_bytes=size_bytes, **order)))

    @blueprint.route("/song/<song>", methods=["HEAD"])
    def head_song(song: str) -> Response:
        found = find_known_song(
            parse_song_hash(song), caller=g.caller, registry=deps.registry, songs=deps.song_store
        )
        response = Response(content_type="application/octet-stream")
        response.content_length = found.size_bytes
        return response

    return blueprint


def submitter_of(deps: Dependencies) -> Submitter:
    return Submitter(
        queue=deps.queue,
        registry=deps.registry,
        outbox=deps.outbox,
        song_store=deps.song_store,
        uploads=deps.uploads,
        default_model=deps.settings.demucs_model,
        max_duration_s=deps.settings.max_duration_s,
        max_queued=deps.settings.max_queued,
    )


def _present(accepted: Accepted) -> dict[str, Any]:
    """Return the reply with the fields of every client in use."""
    return {
        "hash": accepted.job_id,
        "songhash": accepted.job_id,
        "request_id": accepted.request_id,
        "reason": "Song enqueued for separation",
        "message": "File uploaded to MinIO and task queued for processing",
    }
