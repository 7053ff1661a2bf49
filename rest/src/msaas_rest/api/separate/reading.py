"""Request bodies of `POST /apiv1/separate`: base64 in JSON, multipart, or the raw song."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from msaas.errors import InvalidBase64, InvalidCallback, MalformedRequest, MissingSong, SongTooLarge
from msaas.jobs import Callback
from msaas.recipe import Recipe
from msaas.songs import parse_song_hash, song_hash_of
from msaas_rest.api.separate.base64_text import write_decoded
from msaas_rest.api.separate.callback import parse_callback
from msaas_rest.api.separate.json_body import LONG_BYTES, LongText, read_json, refuse_constant
from msaas_rest.http.body import open_body
from msaas_rest.http.uploads import check_content_encoding

#: Field names, boundaries and options around a song, and in JSON line breaks and escapes within it.
EXTRA_BYTES = 1024 * 1024
_SONG_FIELDS = ("mp3", "file")
_RAW_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")
_CALLBACK = "callback"
_URL = "url"
#: Fields that name a song in place of its bytes.
_REFERENCES = ("hash", "songhash", _URL)


@dataclass(frozen=True, kw_only=True)
class Form:
    """A request. One of `song`, `song_hash` and `url` has a value."""

    song: BinaryIO | None = None
    song_hash: str = ""
    url: str = ""
    recipe: Recipe
    callback: Callback | None

    def digest(self) -> str:
        """Return a text that is equal for equal requests, independent of the form of their bodies."""
        song_hash = song_hash_of(self.song) if self.song else self.song_hash
        callback = asdict(self.callback) if self.callback else None
        facts = [song_hash, self.url, self.recipe.canonical_json(), callback]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def read_form(request: Request, *, max_bytes: int, default_model: str, client: str) -> Iterator[Form]:
    """Yield the request. The file of its song ends with the context.

    Raises:
        MalformedRequest, UnsupportedEncoding, SongTooLarge, UploadTooSlow, TooBusy: the body cannot be read.
        InvalidId: the hash of the song is invalid.
        UnknownOption, UnknownModel, UnknownFormat: a field or its value is unknown.
    """
    check_content_encoding(request)
    query = _text_fields(request.args)
    with ExitStack() as stack:
        own_file = stack.enter_context(TemporaryFile())
        song, fields = _read_body(request, own_file, max_bytes=max_bytes, client=client)
        if song is not None:
            stack.enter_context(song)
        fields = _merge(fields, query)
        reference = _reference(fields)
        _check_one_song(song, reference)
        yield Form(
            song=song,
            **reference,
            recipe=Recipe.parse(_options(fields), default_model=default_model),
            callback=parse_callback(fields.get(_CALLBACK)),
        )


def _read_body(
    request: Request, file: BinaryIO, *, max_bytes: int, client: str
) -> tuple[BinaryIO | None, dict[str, Any]]:
    """Return the file of the song, None if there is none, and the fields of the body.

    `file` is empty, and the song may use it.
    """
    kind = request.mimetype
    names_song = any(request.args.get(name) for name in _REFERENCES)
    if names_song and not _has_body(request):
        return None, {}
    if kind.startswith(_RAW_TYPES):
        return open_body(request, max_bytes=max_bytes, client=client), {}
    if kind.startswith("multipart/"):
        open_body(request, max_bytes=max_bytes + EXTRA_BYTES, copies=2, client=client)
        return _form_file(request), _form_fields(request)
    if kind == "application/x-www-form-urlencoded":
        return None, _text_fields(_url_encoded_form(request, client=client))
    body = open_body(request, max_bytes=max_bytes * 3 // 2 + EXTRA_BYTES, copies=2, client=client)
    fields, texts = _json_object(request, body)
    chunks = _song_chunks(fields, texts)
    if chunks is None:
        return None, fields
    write_decoded(chunks, file)
    return file, fields


def _has_body(request: Request) -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def _reference(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash or the URL of the song, by the name of its field in `Form`."""
    found = {name: fields[name] for name in _REFERENCES if fields.get(name) not in (None, "")}
    for name, value in found.items():
        if not isinstance(value, str):
            raise MalformedRequest(f"Field `{name}` is not a text.")
    hashes = {parse_song_hash(value) for name, value in found.items() if name != _URL}
    if len(hashes) + (_URL in found) > 1:
        raise MalformedRequest(f"The request names several songs: {', '.join(found)}. Send one of them.")
    if hashes:
        return {"song_hash": hashes.pop()}
    return {"url": found[_URL]} if found else {}


def _check_one_song(song: BinaryIO | None, reference: Mapping[str, str]) -> None:
    if song is None and not reference:
        raise MissingSong(
            "The request has no song. Send the file in the field `mp3` or `file` of a multipart form, as "
            "base64 in `mp3` of JSON, or its `hash` or `url`."
        )
    if song is not None and reference:
        raise MalformedRequest("The request has a song, and a hash or a URL. Send one of them.")


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    others = (*_SONG_FIELDS, *_REFERENCES, _CALLBACK)
    return {name: value for name, value in fields.items() if name not in others}


def _merge(body: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of both. Raises `MalformedRequest` if one stands in both."""
    for name in body.keys() & query.keys():
        raise MalformedRequest(f"Field {name[:64]!r} stands in the body and in the query. Send it once.")
    return body | query


def _url_encoded_form(request: Request, *, client: str) -> MultiDict[str, str]:
    """Return the form, which has no room for a song: `curl --data-binary` sends files with this type."""
    try:
        open_body(request, max_bytes=EXTRA_BYTES, client=client)
        return request.form
    except (SongTooLarge, RequestEntityTooLarge, MalformedRequest):
        raise MalformedRequest(_not_json(request)) from None


def _form_file(request: Request) -> BinaryIO | None:
    songs = [file for name in _SONG_FIELDS for file in request.files.getlist(name)]
    if len(songs) > 1:
        raise MalformedRequest(f"The form has {len(songs)} songs. Send one, in the field `mp3` or `file`.")
    return songs[0].stream if songs else None  # type: ignore[return-value]


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


def _song_chunks(fields: dict[str, Any], texts: dict[str, LongText]) -> Iterable[bytes] | None:
    """Take the song out of the fields, and return its base64, None if there is no song."""
    for name in _SONG_FIELDS:
        text = fields.pop(name, None)
        if text is None:
            continue
        if not isinstance(text, str):
            raise InvalidBase64(f"Field `{name}` is not a text.")
        song = texts.pop(text, None)
        _refuse_long(texts)
        return song.chunks() if song else [text.encode(errors="replace")]
    _refuse_long(texts)
    return None


def _refuse_long(texts: Mapping[str, LongText]) -> None:
    if texts:
        raise MalformedRequest(f"A field beside the song has more than {LONG_BYTES} bytes.")


def check_size(song: BinaryIO, max_bytes: int) -> int:
    """Return the size of the song. Raises `MissingSong` for an empty one, `SongTooLarge`."""
    size_bytes = song.seek(0, 2)
    song.seek(0)
    if size_bytes == 0:
        raise MissingSong("The song is empty. Send an MP3, WAV, FLAC, M4A or Ogg file.")
    if size_bytes > max_bytes:
        raise SongTooLarge(f"The song has {size_bytes} bytes. The limit is {max_bytes} bytes.")
    return size_bytes
