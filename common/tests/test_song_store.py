"""The song store on every object store."""

import io
import threading

import pytest

from common.tests.results import SONG, STEMS, make, read, stored
from common.tests.stores import WatchedStore, put
from msaas.errors import ObjectChanged, SongDamaged, SongMissing, TrackNotFound
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.names import stem_file
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore
from tests.servers import wait_until

MP3 = b"mp3 bytes"
MP3_HASH = song_hash(MP3)


def test_prepare_is_idempotent(song_store: SongStore) -> None:
    song_store.prepare()
    song_store.ping()


# Songs


def put_song(song_store: SongStore, content: bytes = MP3, *, song: str = MP3_HASH) -> None:
    song_store.put_song(song, io.BytesIO(content), size_bytes=len(content))


def alter_song(song_store: SongStore, content: bytes, *, song: str = MP3_HASH) -> None:
    """Replace the object, as no service does."""
    put(song_store.store, song_store.input_bucket, f"{song}.mp3", content)


def test_song_is_stored_under_its_hash(song_store: SongStore) -> None:
    put_song(song_store)
    assert b"".join(song_store.song(MP3_HASH)) == MP3
    assert b"".join(song_store.song(f"{MP3_HASH}.0123456789ab")) == MP3
    assert [found.key for found in song_store.songs()] == [f"{MP3_HASH}.mp3"]


def test_stored_song_is_not_uploaded_again(song_store: SongStore) -> None:
    put_song(song_store)
    unread = io.BytesIO(MP3)
    song_store.put_song(MP3_HASH, unread, size_bytes=len(MP3))
    assert unread.tell() == 0


@pytest.mark.parametrize("altered", [b"mp3 BYTES", b"mp3 b", b"mp3 bytes and more", b""])
def test_song_that_was_altered_is_damaged_and_is_replaced(song_store: SongStore, altered: bytes) -> None:
    put_song(song_store)
    alter_song(song_store, altered)
    with pytest.raises(SongDamaged, match=MP3_HASH):
        list(song_store.song(f"{MP3_HASH}.0123456789ab"))
    put_song(song_store)
    assert b"".join(song_store.song(MP3_HASH)) == MP3


@pytest.mark.parametrize("older", ["0d1fe2a2-7c1c-4cbb-8fd2-7d5f9f3c4a51", "a" * 56])
def test_song_with_an_id_of_an_older_system_is_not_compared(song_store: SongStore, older: str) -> None:
    put_song(song_store, song=older)
    assert b"".join(song_store.song(older)) == MP3


def test_missing_song_is_named(song_store: SongStore) -> None:
    with pytest.raises(SongMissing, match=SONG):
        next(song_store.song(f"{SONG}.0123456789ab"))


def test_stem_without_manifest_is_not_served(song_store: SongStore) -> None:
    song_store.put_stem(SONG, "drums", io.BytesIO(b"drums"))
    assert song_store.manifest(SONG) is None
    with pytest.raises(TrackNotFound):
        song_store.open_stem(SONG, "drums")


def test_stem_is_served_as_stored(song_store: SongStore) -> None:
    manifest = make(song_store)
    assert song_store.manifest(SONG) == manifest == song_store.whole_manifest(SONG)
    for stem in STEMS:
        assert read(song_store, stem) == stem.encode() * 100
    assert stored(song_store) == {f"{SONG}.json", *(stem_file(SONG, stem) for stem in STEMS)}


def test_damaged_stem_is_not_served_and_leaves_the_manifest(song_store: SongStore) -> None:
    make(song_store)
    # Of the same size: a worker without a lease may have written last.
    song_store.put_stem(SONG, "bass", io.BytesIO(b"BASS" * 100))
    with pytest.raises(TrackNotFound, match="damaged"):
        song_store.open_stem(SONG, "bass")
    manifest = song_store.manifest(SONG)
    assert manifest is not None
    assert set(manifest.stems) == {"drums", "other", "vocals"}
    assert not manifest.answers(Recipe(), model="htdemucs")


def test_missing_stem_leaves_the_manifest(song_store: SongStore) -> None:
    manifest = make(song_store)
    song_store.store.delete(song_store.output_bucket, manifest.stems["bass"].file)
    assert song_store.whole_manifest(SONG) is None
    with pytest.raises(TrackNotFound):
        song_store.open_stem(SONG, "bass")
    assert set((song_store.manifest(SONG) or manifest).stems) == {"drums", "other", "vocals"}


# Edits of a manifest while a worker stores a new result


# Verification of stems


def test_stem_is_verified_once_and_ranges_are_read_alone(
    song_store: SongStore, watched: WatchedStore
) -> None:
    make(song_store)
    whole = b"vocals" * 100
    spans = [(0, None), (0, 1), (5, 7), (598, 2), (598, 100), (600, 1)]
    for offset, length in spans:
        end = None if length is None else offset + length
        assert read(song_store, "vocals", offset=offset, length=length) == whole[offset:end]
    assert watched.gets.count(stem_file(SONG, "vocals")) == 1 + len(spans)
    song_store.put_stem(SONG, "vocals", io.BytesIO(whole))
    assert read(song_store, "vocals") == whole


def test_two_first_requests_verify_a_stem_once(song_store: SongStore, watched: WatchedStore) -> None:
    make(song_store)
    file, opened = stem_file(SONG, "bass"), []

    def wait_for_the_other(key: str) -> None:
        if key == file:
            wait_until(lambda: watched.stats.count(file) == 2)

    watched.before_get = wait_for_the_other
    threads = [
        threading.Thread(target=lambda: opened.append(song_store.open_stem(SONG, "bass"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 2
    assert watched.gets.count(file) == 1


def test_stem_removed_after_its_check_is_a_missing_track(song_store: SongStore) -> None:
    make(song_store)
    stem = song_store.open_stem(SONG, "bass")
    song_store.remove_stem(SONG, "bass")
    with pytest.raises(TrackNotFound, match=f"Stem bass of job {SONG} was removed"):
        b"".join(stem.read())


def test_stem_replaced_after_its_check_is_not_served(song_store: SongStore) -> None:
    make(song_store)
    stem = song_store.open_stem(SONG, "bass")
    song_store.put_stem(SONG, "bass", io.BytesIO(b"BASS" * 100))
    with pytest.raises(ObjectChanged):
        b"".join(stem.read())


def test_find_returns_the_result_of_a_recipe(song_store: SongStore) -> None:
    assert song_store.find(SONG, Recipe(), models=["htdemucs"]) is None
    manifest = make(song_store)
    assert song_store.find(SONG, Recipe(), models=["htdemucs"]) == manifest
    assert song_store.find(SONG, Recipe(), models=["mdx", "htdemucs"]) == manifest
    assert song_store.find(SONG, Recipe(), models=["starter"]) is None
    assert song_store.find(SONG, Recipe(model="mdx"), models=["mdx"]) is None
    song_store.remove_stem(SONG, "bass")
    assert song_store.find(SONG, Recipe(), models=["htdemucs"]) is None


def test_stored_stems_are_those_of_the_manifest_that_are_there(song_store: SongStore) -> None:
    assert song_store.stored_stems(SONG) == (None, ())
    manifest = make(song_store)
    assert song_store.stored_stems(SONG) == (manifest, STEMS)
    song_store.store.delete(song_store.output_bucket, manifest.stems["bass"].file)
    assert song_store.stored_stems(SONG) == (manifest, ("drums", "other", "vocals"))


def test_stem_of_another_size_makes_the_manifest_incomplete(song_store: SongStore) -> None:
    make(song_store)
    song_store.put_stem(SONG, "bass", io.BytesIO(b"cut"))
    assert song_store.whole_manifest(SONG) is None


def test_removed_stem_leaves_manifest_and_store(song_store: SongStore) -> None:
    make(song_store)
    song_store.remove_stem(SONG, "bass")
    assert stem_file(SONG, "bass") not in stored(song_store)
    for call in (song_store.open_stem, song_store.remove_stem):
        with pytest.raises(TrackNotFound):
            call(SONG, "bass")
    assert read(song_store, "drums")


def test_invalid_manifest_counts_as_missing(song_store: SongStore) -> None:
    song_store.store.put(song_store.output_bucket, f"{SONG}.json", io.BytesIO(b"{"), size_bytes=1)
    assert song_store.manifest(SONG) is None
    assert song_store.whole_manifest(SONG) is None


def test_delete_contents_empties_both_buckets(song_store: SongStore) -> None:
    put_song(song_store)
    make(song_store)
    song_store.delete_contents()
    assert stored(song_store) == set()
    assert list(song_store.songs()) == []


def test_missing_buckets_are_empty(store: ObjectStore, bucket: str) -> None:
    song_store = SongStore(store, f"{bucket}no", f"{bucket}none")
    assert list(song_store.songs()) == list(song_store.outputs()) == list(song_store.results()) == []
    song_store.delete_contents()


def test_stem_has_the_extension_of_its_format(song_store: SongStore) -> None:
    entry = song_store.put_stem(SONG, "bass", io.BytesIO(b"flac"), extension="flac")
    assert entry.file == f"{SONG}-bass.flac"
