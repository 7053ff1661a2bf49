"""Routes of songs: list, upload, show, rename, delete."""

from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Response, g, request

from msaas.errors import InvalidFields
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.envelope import envelope
from msaas_rest.http.text_fields import read_texts
from msaas_rest.songs.description import Describer, parse_fields
from msaas_rest.songs.ids import parse_number
from msaas_rest.songs.upload_form import read_upload
from msaas_rest.songs.use_cases import deletions_of, outcomes_of, uploader_of

MAX_LIMIT = 1000
#: Songs of a list without `limit`. Beyond them it has a cursor.
DEFAULT_LIMIT = 10_000
QUERY = ("search", "sort", "cursor", "limit", "fields")


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("library", __name__)
    describer = Describer(queue=deps.queue, outcomes=outcomes_of(deps))
    deletions, uploader = deletions_of(deps), uploader_of(deps)

    def describe(song: Any) -> Response:
        return envelope({"song": describer.describe(song, parse_fields(request.args.get("fields", "")))})

    @blueprint.get("/")
    def list_songs() -> Response:
        fields = parse_fields(request.args.get("fields", ""))
        page = deps.catalogue.open().songs.list_page(_query(), user_id=g.visitor.user_id)
        songs = describer.describe_all(page.songs, fields)
        return envelope({"songs": songs} | ({"next": page.next} if page.next else {}))

    @blueprint.post("/upload")
    def upload_song() -> Response:
        if not deps.settings.has_open_registration:
            g.visitor.require_login()
        # Before the upload: a song that cannot be queued need not be read.
        parse_fields(request.args.get("fields", ""))
        uploader.check_room(g.visitor)
        with ExitStack() as stack:
            upload = read_upload(stack, max_bytes=deps.settings.max_song_upload_bytes)
            return describe(uploader.upload(upload, visitor=g.visitor))

    @blueprint.get("/<int:song_id>")
    def show_song(song_id: int) -> Response:
        return describe(deps.catalogue.open().songs.get(song_id, user_id=g.visitor.user_id))

    @blueprint.patch("/<int:song_id>")
    def rename_song(song_id: int) -> Response:
        title = read_texts(request, ("title",), client=g.visitor.owner)["title"]
        songs = deps.catalogue.open().songs
        return describe(songs.rename(song_id, title=title, user_id=g.visitor.user_id))

    @blueprint.delete("/<int:song_id>")
    def delete_song(song_id: int) -> Response:
        deletions.delete_song(song_id, visitor=g.visitor)
        return envelope()

    return blueprint


def _query() -> Any:
    """Read the fields of a list. An empty one counts as absent.

    Raises:
        InvalidFields: a field is unknown or invalid.
    """
    from msaas_catalogue import SongQuery

    for name in request.args.keys() - set(QUERY):
        raise InvalidFields(
            fields={name[:64]: [f"Field {name[:64]!r} is unknown. Known are {', '.join(QUERY)}."]}
        )
    texts = {name: request.args.get(name, "") for name in ("search", "sort", "cursor")}
    if "\0" in texts["search"]:
        raise InvalidFields(fields={"search": ["Field `search` has the character NUL. Leave it out."]})
    return SongQuery(limit=_limit(), **{name: text for name, text in texts.items() if text})


def _limit() -> int:
    text = request.args.get("limit", "")
    limit = parse_number(text)
    if text and (limit is None or limit > MAX_LIMIT):
        raise InvalidFields(fields={"limit": [f"Field `limit` must be a number from 1 to {MAX_LIMIT}."]})
    return DEFAULT_LIMIT if limit is None else limit
