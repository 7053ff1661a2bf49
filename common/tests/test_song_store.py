"""The song store on every object store."""

import io
import threading

import pytest

from msaas.errors import ObjectChanged, SongMissing, TrackNotFound
from msaas.manifest import Manifest, StemFile
from msaas.recipe import Recipe
from msaas.storage.protocol import ObjectStore, StoredObject
from msaas.storage.song_store import SongStore, stem_file

SONG = "a" * 64
STEMS = ("drums", "bass", "other", "vocals")


@pytest.fixture
def song_store(store: ObjectStore, bucket: str) -> SongStore:
    song_store = SongStore(store, f"{bucket}in", f"{bucket}out")
    song_store.prepare()
    return song_store


def make(song_store: SongStore, job_id: str = SONG) -> Manifest:
    files = {stem: song_store.put_stem(job_id, stem, io.BytesIO(stem.encode() * 100)) for stem in STEMS}
    manifest = Manifest(
        job_id=job_id,
        model="htdemucs",
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


def test_result_that_ends_while_a_stem_is_read_stays(
    song_store: SongStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stems of the new result are stored before its manifest: a reader in between sees damage."""
    make(song_store)
    files = {stem: song_store.put_stem(SONG, stem, io.BytesIO(b"new" * 100)) for stem in STEMS}
    newer = Manifest(
        job_id=SONG, model="mdx", weights_sha256="", engine="test", samples=1, samplerate=44100, stems=files
    )
    check = SongStore._check

    def end_meanwhile(song_store: SongStore, entry: StemFile, found: StoredObject) -> None:
        song_store.put_manifest(newer)
        check(song_store, entry, found)

    with monkeypatch.context() as patched:
        patched.setattr(SongStore, "_check", end_meanwhile)
        with pytest.raises(TrackNotFound):
            song_store.open_stem(SONG, "bass")
    assert song_store.manifest(SONG) == newer
    assert read(song_store, "bass") == b"new" * 100


def test_stem_is_verified_once_and_ranges_are_read_alone(
    song_store: SongStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(song_store)
    checks = []
    check = SongStore._check
    monkeypatch.setattr(SongStore, "_check", lambda *call: (checks.append(1), check(*call)))
    whole = b"vocals" * 100
    spans = [(0, None), (0, 1), (5, 7), (598, 2), (598, 100), (600, 1)]
    for offset, length in spans:
        end = None if length is None else offset + length
        assert read(song_store, "vocals", offset=offset, length=length) == whole[offset:end]
    assert len(checks) == 1
    song_store.put_stem(SONG, "vocals", io.BytesIO(whole))
    assert read(song_store, "vocals") == whole


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
    assert song_store.find(SONG, Recipe(), model="htdemucs") is None
    manifest = make(song_store)
    assert song_store.find(SONG, Recipe(), model="htdemucs") == manifest
    assert song_store.find(SONG, Recipe(), model="starter") is None
    assert song_store.find(SONG, Recipe(model="mdx"), model="mdx") is None
    song_store.remove_stem(SONG, "bass")
    assert song_store.find(SONG, Recipe(), model="htdemucs") is None


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
