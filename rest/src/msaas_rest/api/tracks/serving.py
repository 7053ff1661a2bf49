"""Answers with a stem, with all stems in a ZIP, or with the song itself. Both APIs send them."""

from contextlib import suppress

from flask import Response, request

from msaas.errors import ObjectChanged, TooBusy, UnknownFormat
from msaas.formats import format_of_extension
from msaas.logs import get_logger
from msaas.storage.song_store import SongStore
from msaas_rest.api.tracks.archive import find_archive
from msaas_rest.api.tracks.track_ref import TrackRef
from msaas_rest.file_names import archive_name, part_name, stem_name
from msaas_rest.http.downloads import stream

_ANY_MEDIA_TYPE = "application/octet-stream"
#: A worker may store a stem again between its verification and its download.
_TRIES = 2

log = get_logger()


def send_stem(track: TrackRef, song_store: SongStore, *, title: str = "") -> Response:
    """Return the stem, named `<title>.<part>.<extension>`, or as in the machine API without a title."""
    for _ in range(_TRIES):
        with suppress(ObjectChanged):
            response = _stem(track, song_store, title)
            log.info("track_served", job_id=track.job_id, stem=track.stem, status=response.status_code)
            return response
    raise TooBusy(f"Stem {track.stem} of job {track.job_id} is being stored again. Try again in 5 s.")


def _stem(track: TrackRef, song_store: SongStore, title: str) -> Response:
    stem = song_store.open_stem(
        track.job_id, track.stem, extension=track.extension, verify=request.method != "HEAD"
    )
    extension = stem.entry.extension
    return stream(
        request,
        stem.read,
        size_bytes=stem.entry.size_bytes,
        etag=stem.entry.sha256,
        media_type=format_of_extension(extension).media_type,
        file_name=part_name(title, track.stem, extension=extension)
        if title
        else stem_name(stem.stem, stem.entry, title=stem.title),
    )


def send_archive(job_id: str, stems: str | None, song_store: SongStore, *, title: str = "") -> Response:
    """Return the archive of `stems`, or of all. Without a title its name has that of the song's tags."""
    for _ in range(_TRIES):
        with suppress(ObjectChanged):
            archive = find_archive(job_id, stems, song_store=song_store)
            response = stream(
                request,
                archive.zip.read,
                size_bytes=archive.zip.size_bytes,
                etag=archive.etag,
                media_type="application/zip",
                file_name=archive_name(archive.job_id, title=title or archive.title),
            )
            log.info("archive_served", job_id=job_id, status=response.status_code)
            return response
    raise TooBusy(f"The stems of job {job_id} are being stored again. Try again in 5 s.")


def send_song(song_hash: str, song_store: SongStore, *, title: str) -> Response:
    """Return the song as it was sent, as `<title>.song.<extension>`."""
    for _ in range(_TRIES):
        with suppress(ObjectChanged):
            song = song_store.open_song(song_hash, verify=request.method != "HEAD")
            return stream(
                request,
                song.read,
                size_bytes=song.found.size_bytes,
                etag=song_hash,
                media_type=_media_type(song.extension),
                file_name=part_name(title, "song", extension=song.extension),
            )
    raise TooBusy("The song is being stored again. Try again in 5 s.")


def _media_type(extension: str) -> str:
    """Return the type of a song. Kinds that stems never have are bytes."""
    try:
        return format_of_extension(extension).media_type
    except UnknownFormat:
        return _ANY_MEDIA_TYPE
