"""The song store on every object store."""

import io
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from common.tests.stores import WatchedStore, do_nothing
from msaas.errors import ObjectChanged, SongMissing, TooBusy, TrackNotFound
from msaas.manifest import Manifest
from msaas.recipe import Recipe
from msaas.storage.memory import InMemoryStore
from msaas.storage.names import stem_file
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore
from tests.servers import wait_until

SONG = "a" * 64
STEMS = ("drums", "bass", "other", "vocals")


@pytest.fixture
def watched(store: ObjectStore) -> WatchedStore:
    return WatchedStore(store)


@pytest.fixture
def song_store(watched: WatchedStore, bucket: str) -> SongStore:
    song_store = SongStore(watched, f"{bucket}in", f"{bucket}out")
    song_store.prepare()
    return song_store


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


def test_prepare_is_idempotent(song_store: SongStore) -> None:
    song_store.prepare()
    song_store.ping()


def test_song_is_stored_under_its_hash(song_store: SongStore) -> None:
    song_store.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    assert b"".join(song_store.song(SONG)) == b"mp3 bytes"
    assert b"".join(song_store.song(f"{SONG}.0123456789ab")) == b"mp3 bytes"
    assert [found.key for found in song_store.songs()] == [f"{SONG}.mp3"]


def test_stored_song_is_not_uploaded_again(song_store: SongStore) -> None:
    song_store.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    unread = io.BytesIO(b"mp3 bytes")
    song_store.put_song(SONG, unread, size_bytes=9)
    assert unread.tell() == 0


def test_song_of_another_size_is_replaced(song_store: SongStore) -> None:
    song_store.put_song(SONG, io.BytesIO(b"half"), size_bytes=4)
    song_store.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    assert b"".join(song_store.song(SONG)) == b"mp3 bytes"


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


def act_once(act: Callable[[], object], *, key: str, watched: WatchedStore) -> Callable[[str], None]:
    """Return a hook that acts before the next call with `key`, on a store without hooks."""

    def hook(each: str) -> None:
        if each == key:
            watched.before_get = watched.before_put = do_nothing
            act()

    return hook


def test_result_that_ends_while_a_stem_is_verified_stays(
    song_store: SongStore, watched: WatchedStore
) -> None:
    make(song_store)
    song_store.put_stem(SONG, "bass", io.BytesIO(b"BASS" * 100))
    end = lambda: make(song_store, model="mdx", text="new")  # noqa: E731
    watched.before_get = act_once(end, key=stem_file(SONG, "bass"), watched=watched)
    with pytest.raises((TrackNotFound, ObjectChanged)):
        song_store.open_stem(SONG, "bass")
    manifest = song_store.manifest(SONG)
    assert manifest is not None
    assert (manifest.model, set(manifest.stems)) == ("mdx", set(STEMS))
    assert read(song_store, "bass") == b"new" * 100


def test_result_that_ends_during_the_edit_of_a_manifest_stays(
    song_store: SongStore, watched: WatchedStore
) -> None:
    make(song_store)
    song_store.put_stem(SONG, "bass", io.BytesIO(b"BASS" * 100))
    end = lambda: make(song_store, model="mdx", text="new")  # noqa: E731
    watched.before_put = act_once(end, key=f"{SONG}.json", watched=watched)
    with pytest.raises(TrackNotFound):
        song_store.open_stem(SONG, "bass")
    assert watched.before_put is do_nothing
    manifest = song_store.manifest(SONG)
    assert manifest is not None
    assert (manifest.model, set(manifest.stems)) == ("mdx", set(STEMS))
    assert all(read(song_store, stem) == b"new" * 100 for stem in STEMS)


def test_result_that_ends_during_a_removal_is_edited_instead(
    song_store: SongStore, watched: WatchedStore
) -> None:
    make(song_store)
    end = lambda: make(song_store, model="mdx", text="new")  # noqa: E731
    watched.before_put = act_once(end, key=f"{SONG}.json", watched=watched)
    song_store.remove_stem(SONG, "bass")
    manifest = song_store.manifest(SONG)
    assert manifest is not None
    assert manifest.model == "mdx"
    # The new result has the stem again: it was stored after the removal.
    assert all(read(song_store, stem) == b"new" * 100 for stem in STEMS)


def test_manifest_deleted_during_its_edit_stays_deleted(song_store: SongStore, watched: WatchedStore) -> None:
    make(song_store)
    delete = lambda: watched.delete(song_store.output_bucket, f"{SONG}.json")  # noqa: E731
    watched.before_put = act_once(delete, key=f"{SONG}.json", watched=watched)
    song_store.remove_stem(SONG, "bass")
    assert song_store.manifest(SONG) is None


def test_edit_ends_when_another_writer_is_always_first() -> None:
    watched = WatchedStore(InMemoryStore())
    song_store = SongStore(watched)
    song_store.prepare()
    make(song_store)
    song_store.put_stem(SONG, "bass", io.BytesIO(b"BASS" * 100))
    writer = SongStore(watched.inner)
    manifest = writer.manifest(SONG)
    assert manifest is not None
    engines = iter(range(1000))
    watched.before_put = lambda key: writer.put_manifest(replace(manifest, engine=str(next(engines))))
    with pytest.raises(TooBusy, match=SONG):
        song_store.remove_stem(SONG, "bass")


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


@pytest.mark.parametrize("pair", [("bass", "drums"), ("bass", "bass")])
def test_two_removals_at_once_both_hold(song_store: SongStore, pair: tuple[str, str]) -> None:
    make(song_store)
    barrier, results = threading.Barrier(2), []

    def remove(stem: str) -> None:
        barrier.wait()
        try:
            song_store.remove_stem(SONG, stem)
        except TrackNotFound as error:
            results.append(error)

    threads = [threading.Thread(target=remove, args=(stem,)) for stem in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manifest = song_store.manifest(SONG)
    assert manifest is not None
    assert set(manifest.stems) == set(STEMS) - set(pair)


def test_find_returns_the_result_of_a_recipe(song_store: SongStore) -> None:
    assert song_store.find(SONG, Recipe(), models=["htdemucs"]) is None
    manifest = make(song_store)
    assert song_store.find(SONG, Recipe(), models=["htdemucs"]) == manifest
    assert song_store.find(SONG, Recipe(), models=["mdx", "htdemucs"]) == manifest
    assert song_store.find(SONG, Recipe(), models=["starter"]) is None
    assert song_store.find(SONG, Recipe(model="mdx"), models=["mdx"]) is None
    song_store.remove_stem(SONG, "bass")
    assert song_store.find(SONG, Recipe(), models=["htdemucs"]) is None


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
    song_store.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
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
