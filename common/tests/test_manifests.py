"""Manifests beside other writers: edits, renewals and removals, on every object store."""

import io
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from common.tests.results import SONG, STEMS, make, read
from common.tests.stores import WatchedStore, content_of, do_nothing
from msaas.errors import ObjectChanged, TooBusy, TrackNotFound
from msaas.recipe import Recipe
from msaas.storage.memory import InMemoryStore
from msaas.storage.names import stem_file
from msaas.storage.song_store import SongStore


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


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every object be an hour older than it is."""
    monkeypatch.setattr("msaas.storage.protocol.time", SimpleNamespace(time=lambda: time.time() + 3600))


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
