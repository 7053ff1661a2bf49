"""The form of an upload: a file, or the URL of one, with a title and options."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import g, request
from werkzeug.datastructures import MultiDict

from msaas.errors import InvalidFields, MissingSong
from msaas.recipe import Recipe
from msaas_rest.api.separate.reading import EXTRA_BYTES, check_size
from msaas_rest.http.body import open_body
from msaas_rest.http.fetched import open_url
from msaas_rest.http.uploads import check_content_encoding
from msaas_rest.songs.upload import Upload

_OPTIONS = tuple(Recipe.__dataclass_fields__)
_FIELDS = ("title", "url", *_OPTIONS)


def read_upload(stack: ExitStack, *, max_bytes: int) -> Upload:
    """Return the song of the form. Its file ends with `stack`.

    Raises:
        InvalidFields: a field is unknown or stands twice, or both `file` and `url` have a value.
        MissingSong: neither has one, or `file` is a text.
        MalformedRequest, SongTooLarge, UploadTooSlow, TooBusy: as `open_body` does.
        UrlRefused, UrlUnreachable: as `open_url` does.
    """
    check_content_encoding(request)
    if not request.mimetype.startswith("multipart/"):
        raise MissingSong("The song is missing. Send it in the field `file` of a multipart form.")
    open_body(request, max_bytes=max_bytes + EXTRA_BYTES, copies=2, client=g.visitor.owner)
    if "file" in request.form:
        raise MissingSong("Field `file` is a text. Send a file, with curl by -F file=@song.mp3.")
    fields = _single(request.form, known=_FIELDS)
    files = _single(request.files, known=("file",))
    song, file_name = _open_song(files, fields.get("url", "").strip(), stack, max_bytes=max_bytes)
    return Upload(
        song=song,
        size_bytes=check_size(song, max_bytes),
        file_name=file_name,
        title=fields.get("title", ""),
        options={name: fields[name] for name in _OPTIONS if name in fields},
    )


def _open_song(files: Mapping[str, Any], url: str, stack: ExitStack, *, max_bytes: int) -> tuple[Any, str]:
    """Return the file of the song, and its name."""
    if files and url:
        raise InvalidFields(fields={"url": ["The form has `file` and `url`. Send one of them."]})
    if url:
        song = open_url(request, url, max_bytes=max_bytes, client=g.visitor.owner)
        return song, PurePosixPath(unquote(urlsplit(url).path)).name
    if not files:
        raise MissingSong("The song is missing. Send it in the field `file` of the form, or its `url`.")
    file = files["file"]
    return stack.enter_context(file.stream), file.filename or ""


def _single(values: MultiDict[str, Any], *, known: Iterable[str]) -> dict[str, Any]:
    """Return the value of each field. Raises `InvalidFields`."""
    for name, all_values in values.lists():
        if name not in known:
            known_names = ", ".join(("file", *_FIELDS))
            raise InvalidFields(
                fields={name[:64]: [f"Field {name[:64]!r} is unknown. Known are {known_names}."]}
            )
        if len(all_values) > 1:
            raise InvalidFields(fields={name[:64]: [f"Field {name[:64]!r} stands {len(all_values)} times."]})
    return values.to_dict()
