"""A song arrives as base64 in JSON, as a part of a form, or as it is; all become one submission."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from flask import Request

from msaas.errors import InvalidBase64, InvalidCallback, MalformedRequest, MissingSong, SongTooLarge
from msaas_rest.body import PIECE_BYTES, meter
from msaas_rest.budget import Share
from msaas_rest.separation.base64_text import write_decoded
from msaas_rest.separation.options import parse_callback, parse_options
from msaas_rest.separation.use_case import Submission

#: Field names, boundaries and options around a song; in JSON, line breaks and escapes within it, too.
_EXTRA_BYTES = 1024 * 1024
#: The body, its text, the song's text, while `json.loads` runs.
_JSON_WEIGHT = 3
#: A small body can hold a great many values; a request has few.
_MAX_JSON_VALUES = 100_000
_SONG_FIELDS = ("mp3", "file")
_RAW_TYPES = ("audio/", "application/octet-stream")


@contextmanager
def submission_of(
    request: Request, share: Share, *, max_bytes: int, default_model: str
) -> Iterator[Submission]:
    """Yield what the request asks for; its song's file ends with the context.

    Raises:
        MalformedRequest, SongTooLarge, TooBusy, UnknownModel.
    """
    with TemporaryFile() as own_file:
        song, fields = _received(request, share, own_file, max_bytes)
        with song:
            yield Submission(
                song,
                _size_of(song, max_bytes),
                parse_options(fields, default_model=default_model),
                parse_callback(fields.get("callback")),
            )


def _received(
    request: Request, share: Share, file: BinaryIO, max_bytes: int
) -> tuple[BinaryIO, Mapping[str, Any]]:
    """Return the song's file and the other fields."""
    kind = request.mimetype
    if kind.startswith("multipart/"):
        _prepare(request, share, max_bytes=max_bytes + _EXTRA_BYTES)
        return _form_file(request), _text_fields(request.form)
    if kind.startswith(_RAW_TYPES):
        # One more, for the limit itself must not be taken for too much.
        _prepare(request, share, max_bytes=max_bytes + 1)
        _copy(request, file)
        return file, _text_fields(request.args)
    _prepare(request, share, max_bytes=max_bytes * 3 // 2 + _EXTRA_BYTES, weight=_JSON_WEIGHT)
    fields = _json_object(request)
    write_decoded(_song_text(fields), file)
    return file, fields


def _prepare(request: Request, share: Share, *, max_bytes: int, weight: int = 1) -> None:
    meter(request.environ, share=share, weight=weight)
    request.max_content_length = max_bytes


def _form_file(request: Request) -> BinaryIO:
    for name in _SONG_FIELDS:
        if name in request.files:
            return request.files[name].stream  # type: ignore[return-value]
    raise MissingSong(f"The form has no file {' or '.join(_SONG_FIELDS)}.")


def _copy(request: Request, file: BinaryIO) -> None:
    while piece := request.stream.read(PIECE_BYTES):
        file.write(piece)


def _text_fields(texts: Mapping[str, str]) -> Mapping[str, Any]:
    """A form or a query has texts only; the callback's is JSON."""
    fields: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if "callback" in fields:
        try:
            fields["callback"] = json.loads(fields["callback"], parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise InvalidCallback("It is not JSON.") from None
    return fields


def _json_object(request: Request) -> dict[str, Any]:
    body = bytearray()
    while piece := request.stream.read(PIECE_BYTES):
        body += piece
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_JSON_VALUES:
        raise MalformedRequest("It holds too many values.")
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
    return f"The body is {kind}; a song comes as audio/mpeg, multipart/form-data or application/json."


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _song_text(fields: dict[str, Any]) -> str:
    text = fields.pop("mp3", None)
    if text is None:
        raise MissingSong("The field mp3 is missing.")
    if not isinstance(text, str):
        raise InvalidBase64("The field mp3 is not a text.")
    return text


def _size_of(song: BinaryIO, max_bytes: int) -> int:
    size_bytes = song.seek(0, 2)
    song.seek(0)
    if size_bytes == 0:
        raise MissingSong("It is empty.")
    if size_bytes > max_bytes:
        raise SongTooLarge(f"At most {max_bytes} bytes are taken.")
    return size_bytes
