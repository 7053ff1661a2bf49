"""Request bodies of `POST /apiv1/separate`: base64 in JSON, multipart, or the raw song."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from flask import Request
from werkzeug.datastructures import MultiDict

from msaas.errors import InvalidBase64, InvalidCallback, MalformedRequest, MissingSong, SongTooLarge
from msaas.recipe import Recipe
from msaas_rest.api.separate.base64_text import write_decoded
from msaas_rest.api.separate.callback import parse_callback
from msaas_rest.api.separate.submission import Submission
from msaas_rest.http.body import CHUNK_BYTES, meter
from msaas_rest.http.upload_memory import Reservation
from msaas_rest.http.uploads import check_content_encoding

#: Field names, boundaries and options around a song, and in JSON line breaks and escapes within it.
_EXTRA_BYTES = 1024 * 1024
#: Memory of a JSON byte while `json.loads` runs: the body, its text, the text of the song.
_JSON_BYTES_PER_BYTE = 3
#: A small body can hold very many values, a request has few.
_MAX_JSON_VALUES = 100_000
_SONG_FIELDS = ("mp3", "file")
_RAW_TYPES = ("audio/", "application/octet-stream")
_CALLBACK = "callback"


@contextmanager
def read_submission(
    request: Request,
    reservation: Reservation,
    *,
    max_bytes: int,
    default_model: str,
    request_id: str | None = None,
) -> Iterator[Submission]:
    """Yield the submission. The file of its song ends with the context.

    Raises:
        MalformedRequest, UnsupportedEncoding, SongTooLarge, TooBusy: the body cannot be read.
        UnknownOption, UnknownModel, UnknownFormat: a field or its value is unknown.
    """
    check_content_encoding(request)
    with TemporaryFile() as own_file:
        song, fields = _read_body(request, reservation, own_file, max_bytes)
        fields = _joined(fields, _text_fields(request.args))
        with song:
            yield Submission(
                song=song,
                size_bytes=_size_of(song, max_bytes),
                recipe=Recipe.parse(_options(fields), default_model=default_model),
                callback=parse_callback(fields.get(_CALLBACK)),
                request_id=request_id,
            )


def _read_body(
    request: Request, reservation: Reservation, file: BinaryIO, max_bytes: int
) -> tuple[BinaryIO, dict[str, Any]]:
    """Return the file of the song and the fields of the body."""
    kind = request.mimetype
    if kind.startswith("multipart/"):
        _prepare(request, reservation, max_bytes=max_bytes + _EXTRA_BYTES)
        return _form_file(request), _form_fields(request)
    if kind.startswith(_RAW_TYPES):
        # One more: a body of exactly the limit is accepted.
        _prepare(request, reservation, max_bytes=max_bytes + 1)
        _copy(request, file)
        return file, {}
    _prepare(
        request,
        reservation,
        max_bytes=max_bytes * 3 // 2 + _EXTRA_BYTES,
        bytes_per_byte=_JSON_BYTES_PER_BYTE,
    )
    fields = _json_object(request)
    write_decoded(_song_text(fields), file)
    return file, fields


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in (*_SONG_FIELDS, _CALLBACK)}


def _joined(body: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of both. Raises `MalformedRequest` if one stands in both."""
    for name in body.keys() & query.keys():
        raise MalformedRequest(f"Field {name[:64]!r} stands in the body and in the query. Send it once.")
    return body | query


def _prepare(request: Request, reservation: Reservation, *, max_bytes: int, bytes_per_byte: int = 1) -> None:
    meter(request.environ, reservation=reservation, bytes_per_byte=bytes_per_byte)
    request.max_content_length = max_bytes


def _form_file(request: Request) -> BinaryIO:
    for name in _SONG_FIELDS:
        if name in request.files:
            return request.files[name].stream  # type: ignore[return-value]
    raise MissingSong("The form has no file. Send the song in the field `mp3` or `file`.")


def _copy(request: Request, file: BinaryIO) -> None:
    while chunk := request.stream.read(CHUNK_BYTES):
        file.write(chunk)


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
        return json.loads(text, parse_constant=_refuse_constant) if text.strip() else None
    except (ValueError, RecursionError):
        raise InvalidCallback("Field `callback` is not JSON.") from None


def _json_object(request: Request) -> dict[str, Any]:
    body = bytearray()
    while chunk := request.stream.read(CHUNK_BYTES):
        body += chunk
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_JSON_VALUES:
        raise MalformedRequest(f"The body holds more than {_MAX_JSON_VALUES} JSON values.")
    try:
        fields = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MalformedRequest(_not_json(request)) from None
    if not isinstance(fields, dict):
        raise MalformedRequest("The body is not a JSON object.")
    return fields


def _not_json(request: Request) -> str:
    if request.is_json:
        return "The body is not JSON."
    kind = request.mimetype[:64] or "of no type"
    return f"The body is {kind}. Send a song as audio/mpeg, multipart/form-data or application/json."


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _song_text(fields: dict[str, Any]) -> str:
    for name in _SONG_FIELDS:
        text = fields.pop(name, None)
        if isinstance(text, str):
            return text
        if text is not None:
            raise InvalidBase64(f"Field `{name}` is not a text.")
    raise MissingSong("Field `mp3` is missing. Send the song as base64 in `mp3`, or as multipart.")


def _size_of(song: BinaryIO, max_bytes: int) -> int:
    size_bytes = song.seek(0, 2)
    song.seek(0)
    if size_bytes == 0:
        raise MissingSong("The song is empty: it has 0 bytes.")
    if size_bytes > max_bytes:
        raise SongTooLarge(f"The song has {size_bytes} bytes. The limit is {max_bytes} bytes.")
    return size_bytes
