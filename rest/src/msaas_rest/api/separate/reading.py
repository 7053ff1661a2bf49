"""Request bodies of `POST /apiv1/separate`: base64 in JSON, multipart, or the raw song."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from flask import Request
from werkzeug.datastructures import MultiDict

from msaas.errors import InvalidBase64, InvalidCallback, MalformedRequest, MissingSong, SongTooLarge
from msaas.recipe import Recipe
from msaas_rest.api.separate.base64_text import write_decoded
from msaas_rest.api.separate.callback import parse_callback
from msaas_rest.api.separate.json_body import LONG_BYTES, LongText, read_json, refuse_constant
from msaas_rest.api.separate.submission import Submission
from msaas_rest.http.body import open_body
from msaas_rest.http.caller import Caller
from msaas_rest.http.uploads import check_content_encoding

#: Field names, boundaries and options around a song, and in JSON line breaks and escapes within it.
_EXTRA_BYTES = 1024 * 1024
_SONG_FIELDS = ("mp3", "file")
_RAW_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")
_CALLBACK = "callback"


@contextmanager
def read_submission(
    request: Request,
    *,
    max_bytes: int,
    default_model: str,
    caller: Caller,
    request_id: str | None = None,
) -> Iterator[Submission]:
    """Yield the submission. The file of its song ends with the context.

    Raises:
        MalformedRequest, UnsupportedEncoding, SongTooLarge, UploadTooSlow, TooBusy: the body cannot be read.
        UnknownOption, UnknownModel, UnknownFormat: a field or its value is unknown.
    """
    check_content_encoding(request)
    with TemporaryFile() as own_file:
        song, fields = _read_body(request, own_file, max_bytes=max_bytes, client=caller.owner)
        fields = _merge(fields, _text_fields(request.args))
        with song:
            yield Submission(
                song=song,
                size_bytes=_size_of(song, max_bytes),
                recipe=Recipe.parse(_options(fields), default_model=default_model),
                callback=parse_callback(fields.get(_CALLBACK)),
                request_id=request_id,
                owner=caller.owner,
                key_name=caller.name,
            )


def _read_body(
    request: Request, file: BinaryIO, *, max_bytes: int, client: str
) -> tuple[BinaryIO, dict[str, Any]]:
    """Return the file of the song and the fields of the body. `file` is empty, and the song may use it."""
    kind = request.mimetype
    if kind.startswith(_RAW_TYPES):
        return open_body(request, max_bytes=max_bytes, client=client), {}
    if kind.startswith("multipart/"):
        open_body(request, max_bytes=max_bytes + _EXTRA_BYTES, copies=2, client=client)
        return _form_file(request), _form_fields(request)
    body = open_body(request, max_bytes=max_bytes * 3 // 2 + _EXTRA_BYTES, copies=2, client=client)
    fields, texts = _json_object(request, body)
    write_decoded(_song_chunks(fields, texts), file)
    return file, fields


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in (*_SONG_FIELDS, _CALLBACK)}


def _merge(body: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of both. Raises `MalformedRequest` if one stands in both."""
    for name in body.keys() & query.keys():
        raise MalformedRequest(f"Field {name[:64]!r} stands in the body and in the query. Send it once.")
    return body | query


def _form_file(request: Request) -> BinaryIO:
    for name in _SONG_FIELDS:
        if name in request.files:
            return request.files[name].stream  # type: ignore[return-value]
    raise MissingSong("The form has no file. Send the song in the field `mp3` or `file`.")


def _form_fields(request: Request) -> dict[str, Any]:
    """Return the text fields, and each file that is not the song: an option is never a file."""
    files = {name: file for name, file in request.files.items() if name not in _SONG_FIELDS}
    return _text_fields(request.form) | files


def _text_fields(texts: MultiDict[str, str]) -> dict[str, Any]:
    """Read the texts of a form or a query, in which `callback` is JSON."""
    fields: dict[str, Any] = {}
    for name, values in texts.lists():
        if len(values) > 1:
            raise MalformedRequest(f"Field {name[:64]!r} stands {len(values)} times. Send it once.")
        fields[name] = _callback_json(values[0]) if name == _CALLBACK else values[0]
    return fields


def _callback_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=refuse_constant) if text.strip() else None
    except (ValueError, RecursionError):
        raise InvalidCallback("Field `callback` is not JSON.") from None


def _json_object(request: Request, body: BinaryIO) -> tuple[dict[str, Any], dict[str, LongText]]:
    try:
        fields, texts = read_json(body)
    except (ValueError, RecursionError):
        raise MalformedRequest(_not_json(request)) from None
    if not isinstance(fields, dict):
        raise MalformedRequest("The body is not a JSON object.")
    return fields, texts


def _not_json(request: Request) -> str:
    if request.is_json:
        return "The body is not JSON."
    kind = request.mimetype[:64] or "of no type"
    return f"The body is {kind}. Send a song as audio/…, multipart/form-data or application/json."


def _song_chunks(fields: dict[str, Any], texts: dict[str, LongText]) -> Iterable[bytes]:
    """Take the song out of the fields, and return its base64."""
    for name in _SONG_FIELDS:
        text = fields.pop(name, None)
        if text is None:
            continue
        if not isinstance(text, str):
            raise InvalidBase64(f"Field `{name}` is not a text.")
        song = texts.pop(text, None)
        if texts:
            raise MalformedRequest(f"A field beside the song has more than {LONG_BYTES} bytes.")
        return song.chunks() if song else [text.encode(errors="replace")]
    raise MissingSong("Field `mp3` is missing. Send the song as base64 in `mp3`, or as multipart.")


def _size_of(song: BinaryIO, max_bytes: int) -> int:
    size_bytes = song.seek(0, 2)
    song.seek(0)
    if size_bytes == 0:
        raise MissingSong("The song is empty. Send an MP3, WAV, FLAC, M4A or Ogg file.")
    if size_bytes > max_bytes:
        raise SongTooLarge(f"The song has {size_bytes} bytes. The limit is {max_bytes} bytes.")
    return size_bytes
