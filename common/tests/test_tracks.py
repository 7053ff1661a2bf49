"""Songs, stems and manifests on every store."""

import io
from typing import IO

import pytest

from msaas.errors import SongMissing, TrackNotFound
from msaas.manifest import Manifest, StemFile
from msaas.storage import ObjectStore
from msaas.tracks import Tracks, stem_file

SONG = "a" * 64
STEMS = ("drums", "bass", "other", "vocals")


@pytest.fixture
def tracks(store: ObjectStore, bucket: str) -> Tracks:
    tracks = Tracks(store, f"{bucket}in", f"{bucket}out")
    tracks.prepare()
    return tracks


def make(tracks: Tracks, job_id: str = SONG) -> Manifest:
    files = {stem: tracks.put_stem(job_id, stem, io.BytesIO(stem.encode() * 100)) for stem in STEMS}
    manifest = Manifest(
        job_id, model="htdemucs", weights_sha256="", engine="test", samples=1, samplerate=44100, stems=files
    )
    tracks.put_manifest(manifest)
    return manifest


def stored(tracks: Tracks) -> set[str]:
    return {found.key for found in tracks.results()}


def test_the_buckets_are_made_and_the_store_answers(tracks: Tracks) -> None:
    tracks.prepare()
    tracks.ping()


def test_a_song_is_kept_under_its_hash(tracks: Tracks) -> None:
    tracks.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    assert b"".join(tracks.song(SONG)) == b"mp3 bytes"
    assert b"".join(tracks.song(f"{SONG}.0123456789ab")) == b"mp3 bytes"
    assert [found.key for found in tracks.songs()] == [f"{SONG}.mp3"]


def test_a_song_that_is_there_is_not_sent_again(tracks: Tracks) -> None:
    tracks.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    unread = io.BytesIO(b"mp3 bytes")
    tracks.put_song(SONG, unread, size_bytes=9)
    assert unread.tell() == 0


def test_a_song_of_another_size_is_replaced(tracks: Tracks) -> None:
    tracks.put_song(SONG, io.BytesIO(b"half"), size_bytes=4)
    tracks.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    assert b"".join(tracks.song(SONG)) == b"mp3 bytes"


def test_a_song_that_is_gone_is_named(tracks: Tracks) -> None:
    with pytest.raises(SongMissing, match=SONG):
        next(tracks.song(f"{SONG}.0123456789ab"))


def test_nothing_is_served_before_the_manifest_stands(tracks: Tracks) -> None:
    tracks.put_stem(SONG, "drums", io.BytesIO(b"drums"))
    assert tracks.manifest(SONG) is None
    with pytest.raises(TrackNotFound):
        tracks.open_stem(SONG, "drums")


def test_a_stem_is_served_as_it_was_stored(tracks: Tracks) -> None:
    manifest = make(tracks)
    assert tracks.manifest(SONG) == manifest == tracks.whole_manifest(SONG)
    for stem in STEMS:
        with tracks.open_stem(SONG, stem) as file:
            assert file.read() == stem.encode() * 100
    assert stored(tracks) == {f"{SONG}.json", *(stem_file(SONG, stem) for stem in STEMS)}


def test_a_damaged_stem_is_not_served_and_leaves_the_manifest(tracks: Tracks) -> None:
    make(tracks)
    # Of the same size: what a worker without a lease may have written last.
    tracks.put_stem(SONG, "bass", io.BytesIO(b"BASS" * 100))
    with pytest.raises(TrackNotFound, match="damaged"):
        tracks.open_stem(SONG, "bass")
    manifest = tracks.manifest(SONG)
    assert manifest is not None
    assert set(manifest.stems) == {"drums", "other", "vocals"}
    assert not manifest.answers(model="htdemucs", stems=STEMS)


def test_a_stem_that_is_gone_leaves_the_manifest_too(tracks: Tracks) -> None:
    manifest = make(tracks)
    tracks.store.delete(tracks.output_bucket, manifest.stems["bass"].file)
    assert tracks.whole_manifest(SONG) is None
    with pytest.raises(TrackNotFound):
        tracks.open_stem(SONG, "bass")
    assert set((tracks.manifest(SONG) or manifest).stems) == {"drums", "other", "vocals"}


def test_a_result_that_ends_while_a_stem_is_read_stands(
    tracks: Tracks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stems are there before its manifest: whoever reads in between sees a damaged stem."""
    make(tracks)
    damaged = {stem: tracks.put_stem(SONG, stem, io.BytesIO(b"new" * 100)) for stem in STEMS}
    newer = Manifest(
        SONG, model="mdx", weights_sha256="", engine="test", samples=1, samplerate=44100, stems=damaged
    )
    spooled = Tracks._spooled

    def slowly(tracks: Tracks, entry: StemFile) -> IO[bytes] | None:
        file = spooled(tracks, entry)
        tracks.put_manifest(newer)
        return file

    with monkeypatch.context() as slow:
        slow.setattr(Tracks, "_spooled", slowly)
        with pytest.raises(TrackNotFound):
            tracks.open_stem(SONG, "bass")
    assert tracks.manifest(SONG) == newer
    with tracks.open_stem(SONG, "bass") as file:
        assert file.read() == b"new" * 100


def test_a_stem_of_another_size_makes_the_manifest_incomplete(tracks: Tracks) -> None:
    make(tracks)
    tracks.put_stem(SONG, "bass", io.BytesIO(b"cut"))
    assert tracks.whole_manifest(SONG) is None


def test_a_removed_stem_leaves_manifest_and_store(tracks: Tracks) -> None:
    make(tracks)
    tracks.remove_stem(SONG, "bass")
    assert stem_file(SONG, "bass") not in stored(tracks)
    for call in (tracks.open_stem, tracks.remove_stem):
        with pytest.raises(TrackNotFound):
            call(SONG, "bass")
    with tracks.open_stem(SONG, "drums") as file:
        assert file.read()


def test_a_manifest_that_is_no_manifest_counts_as_none(tracks: Tracks) -> None:
    tracks.store.put(tracks.output_bucket, f"{SONG}.json", io.BytesIO(b"{"), size_bytes=1)
    assert tracks.manifest(SONG) is None
    assert tracks.whole_manifest(SONG) is None


def test_delete_contents_empties_both_buckets(tracks: Tracks) -> None:
    tracks.put_song(SONG, io.BytesIO(b"mp3 bytes"), size_bytes=9)
    make(tracks)
    tracks.delete_contents()
    assert stored(tracks) == set()
    assert list(tracks.songs()) == []
