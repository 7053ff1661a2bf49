"""Results in a song store, as a worker stores them."""

import io

from msaas.manifest import Manifest
from msaas.storage.song_store import SongStore

SONG = "a" * 64
STEMS = ("drums", "bass", "other", "vocals")


def make(song_store: SongStore, job_id: str = SONG, *, model: str = "htdemucs", text: str = "") -> Manifest:
    """Store a result, as a worker does."""
    files = {
        stem: song_store.put_stem(job_id, stem, io.BytesIO((text or stem).encode() * 100)) for stem in STEMS
    }
    manifest = Manifest(
        job_id=job_id,
        model=model,
        weights_sha256="",
        engine="test",
        samples=1,
        samplerate=44100,
        stems=files,
    )
    song_store.put_manifest(manifest)
    return manifest


def read(song_store: SongStore, stem: str, *, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join(song_store.open_stem(SONG, stem).read(offset=offset, length=length))


def stored(song_store: SongStore) -> set[str]:
    return {found.key for found in song_store.results()}
