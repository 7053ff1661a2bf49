"""Routes of songs: list, upload, show, rename, delete."""

from openapi_pydantic import MediaType, Operation, Parameter, PathItem, RequestBody, Schema
from openapi_pydantic.util import PydanticSchema

from msaas import errors
from msaas_rest.openapi.messages.base import Envelope
from msaas_rest.openapi.messages.library import SongReply, SongsReply, SongUpload, Title
from msaas_rest.openapi.operations import CHANGING, Reply, in_query, schema_of
from msaas_rest.openapi.songs import (
    BODY,
    IDENTIFIED,
    OF_A_SONG,
    SONG,
    STATED,
    body_of,
    describe,
    song_id,
    success,
)
from msaas_rest.songs.description import FIELDS
from msaas_rest.songs.library import MAX_LIMIT

TAG = "songs"
_SORTS = ("created", "-created", "title", "-title")
_REFUSALS = (
    *(errors.MissingSong, errors.NotAudio, errors.SongTooLong, errors.DecoderMissing),
    *(errors.UndecodableSong, errors.FormatUnavailable, errors.UrlRefused, errors.UrlUnreachable),
    *(errors.UnknownOption, errors.InvalidOption, errors.UnknownModel, errors.UnknownStem),
    *(errors.UnknownFormat, errors.QueueFull, errors.SongLimitReached),
)


def paths() -> dict[str, PathItem]:
    return {
        "/songs/": PathItem(get=_list()),
        "/songs/upload": PathItem(post=_upload()),
        "/songs/{song_id}": PathItem(get=_show(), patch=_rename(), delete=_delete()),
    }


def _fields() -> Parameter:
    return in_query(
        "fields",
        f"Further fields, with commas between: {', '.join(FIELDS)}",
        schema_of(str),
        example="error,progress",
    )


def _song() -> dict[int, Reply]:
    return {200: Reply(description="The song", model=SongReply, example=success({"song": SONG}))}


def _list() -> Operation:
    return describe(
        TAG,
        "List the songs of the user, and anonymous ones",
        name="list_songs",
        parameters=[
            in_query("search", "A part of the title", schema_of(str), example="morning"),
            in_query("sort", "The order", Schema(type="string", enum=list(_SORTS), default=_SORTS[0])),
            in_query(
                "limit",
                "Length of a page. All by default",
                Schema(type="integer", minimum=1, maximum=MAX_LIMIT),
            ),
            in_query("cursor", "`next` of the page before", schema_of(str)),
            _fields(),
        ],
        replies={200: Reply(description="The songs", model=SongsReply, example=success({"songs": [SONG]}))},
        raises=(*IDENTIFIED, *STATED, errors.InvalidFields),
    )


def _upload() -> Operation:
    form = MediaType(media_type_schema=PydanticSchema(schema_class=SongUpload))
    return describe(
        TAG,
        "Upload a song",
        name="upload_song",
        description="Without a session the song is anonymous: everybody sees it. `REGISTRATION=closed`: 401.",
        parameters=[_fields()],
        body=RequestBody(
            description="The song, its title and its options",
            content={"multipart/form-data": form},
            required=True,
        ),
        replies=_song(),
        raises=(*IDENTIFIED, *CHANGING, *STATED, *BODY, *_REFUSALS, errors.UserNotFound),
    )


def _show() -> Operation:
    return describe(
        TAG,
        "Show a song",
        name="show_song",
        parameters=[song_id(), _fields()],
        replies=_song(),
        raises=(*OF_A_SONG, *STATED, errors.InvalidFields),
    )


def _rename() -> Operation:
    return describe(
        TAG,
        "Rename a song of the user",
        name="rename_song",
        parameters=[song_id(), _fields()],
        body=body_of(Title, "The title"),
        replies=_song(),
        raises=(*OF_A_SONG, *CHANGING, *STATED, *BODY),
    )


def _delete() -> Operation:
    return describe(
        TAG,
        "Delete a song of the user",
        name="delete_song",
        description="If nothing else refers to its hash, the song and its stems leave the store.",
        parameters=[song_id()],
        replies={200: Reply(description="Deleted", model=Envelope, example=success())},
        raises=(*OF_A_SONG, *CHANGING, errors.QueueUnavailable),
    )
