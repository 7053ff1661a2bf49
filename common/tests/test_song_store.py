"""The song store on every object store."""

import io
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from common.tests.stores import WatchedStore, content_of, do_nothing, put
from msaas.errors import ObjectChanged, SongDamaged, SongMissing, TooBusy, TrackNotFound
from msaas.manifest import Manifest
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.names import stem_file
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore
from tests.servers import wait_until

SONG = "a" * 64
STEMS = ("drums", "bass", "other", "vocals")
MP3 = b"mp3 bytes"
MP3_HASH = song_hash(MP3)


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


def test_stored_stems_are_those_of_the_manifest_that_are_there(song_store: SongStore) -> None:
    assert song_store.stored_stems(SONG) == (None, ())
    manifest = make(song_store)
    assert song_store.stored_stems(SONG) == (manifest, STEMS)
    song_store.store.delete(song_store.output_bucket, manifest.stems["bass"].file)
    assert song_store.stored_stems(SONG) == (manifest, ("drums", "other", "vocals"))


# Renewal of a result


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every object be an hour older than it is."""
    monkeypatch.setattr("msaas.storage.song_store.time", SimpleNamespace(time=lambda: time.time() + 3600))


def test_result_that_is_used_again_is_stored_again(
    song_store: SongStore, watched: WatchedStore, old: None
) -> None:
    assert song_store.reuse(SONG, Recipe(), models=["htdemucs"]) is None
    manifest = make(song_store)
    before = content_of(watched, song_store.output_bucket, f"{SONG}.json")
    for model, puts in (("starter", 1), ("htdemucs", 2), ("htdemucs", 3)):
        found = song_store.reuse(SONG, Recipe(), models=[model])
        assert found == (manifest if model == "htdemucs" else None)
        assert watched.puts.count(f"{SONG}.json") == puts
    assert content_of(watched, song_store.output_bucket, f"{SONG}.json") == before


def test_young_result_is_not_stored_again(song_store: SongStore, watched: WatchedStore) -> None:
    manifest = make(song_store)
    assert song_store.reuse(SONG, Recipe(), models=["htdemucs"]) == manifest
    assert watched.puts.count(f"{SONG}.json") == 1


def test_result_deleted_during_its_renewal_is_not_used(
    song_store: SongStore, watched: WatchedStore, old: None
) -> None:
    make(song_store)
    delete = lambda: watched.delete(song_store.output_bucket, f"{SONG}.json")  # noqa: E731
    watched.before_put = act_once(delete, key=f"{SONG}.json", watched=watched)
    assert song_store.reuse(SONG, Recipe(), models=["htdemucs"]) is None
    assert song_store.manifest(SONG) is None


def test_stem_removed_during_the_renewal_stays_removed(
    song_store: SongStore, watched: WatchedStore, old: None
) -> None:
    make(song_store)
    remove = lambda: song_store.remove_stem(SONG, "bass")  # noqa: E731
    watched.before_put = act_once(remove, key=f"{SONG}.json", watched=watched)
    assert song_store.reuse(SONG, Recipe(), models=["htdemucs"]) is None
    assert song_store.stored_stems(SONG)[1] == ("drums", "other", "vocals")


def test_renewal_ends_when_another_writer_is_always_first(old: None) -> None:
    watched = WatchedStore(InMemoryStore())
    song_store = SongStore(watched)
    song_store.prepare()
    manifest = make(song_store)
    writer, engines = SongStore(watched.inner), iter(range(1000))
    watched.before_put = lambda key: writer.put_manifest(replace(manifest, engine=str(next(engines))))
    with pytest.raises(TooBusy, match=SONG):
        song_store.reuse(SONG, Recipe(), models=["htdemucs"])


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
