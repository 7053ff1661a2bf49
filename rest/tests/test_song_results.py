"""Results of songs by session: parts, the song itself, stems in a ZIP, peaks, events, fragments."""

import io
import json
import zipfile
from collections.abc import Callable

import pytest
from rest.tests.service import FRAME, Service, stem_bytes, store_stems
from rest.tests.songs_client import SongsClient, texts_of

from msaas.fragments import Fragments
from msaas.models import FOUR_STEMS, SIX_STEMS
from msaas.queue.consumer import Result
from msaas.recipe import Recipe
from msaas.songs import song_hash

Visit = Callable[..., SongsClient]
MP3 = FRAME * 100
HASH = song_hash(MP3)


@pytest.fixture
def ann(visit: Visit) -> SongsClient:
    return visit("ann")


@pytest.fixture
def song(ann: SongsClient) -> str:
    """The path of a song of ann, which waits."""
    return f"/songs/{ann.upload(MP3, title='Größe / 2')['id']}"


@pytest.mark.parametrize("part", ["vocals", "drums", "bass", "other"])
def test_parts_of_a_split_song_are_downloads(
    ann: SongsClient, song: str, part: str, songs_service: Service
) -> None:
    answer = ann.get(f"{song}/{part}.mp3")
    assert answer.status_code == 404
    assert texts_of(answer)
    songs_service.work()
    answer = ann.get(f"{song}/{part}.mp3")
    assert (answer.status_code, answer.content) == (200, stem_bytes(part))
    assert answer.headers["Content-Type"] == "audio/mpeg"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; ")
    assert disposition.endswith(f"Gr%C3%B6%C3%9Fe%20%20%202.{part}.mp3")


def test_song_itself_is_served_at_once_and_by_range(ann: SongsClient, song: str) -> None:
    answer = ann.get(f"{song}/song.mp3")
    assert (answer.status_code, answer.content) == (200, MP3)
    assert answer.headers["Content-Disposition"].endswith(".song.mp3")
    answer = ann.get(f"{song}/song.mp3", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, MP3[10:20])
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(MP3)}"
    assert ann.get(f"{song}/song.mp3", headers={"Range": "bytes=999999-"}).status_code == 416
    etag = answer.headers["ETag"]
    assert ann.get(f"{song}/song.mp3", headers={"If-None-Match": etag}).status_code == 304
    head = ann.call("HEAD", f"{song}/song.mp3")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(MP3)))


def test_plain_title_names_the_file(ann: SongsClient) -> None:
    song = ann.upload(MP3, title="Morning")
    answer = ann.get(f"/songs/{song['id']}/song.mp3")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="Morning.song.mp3"'


def test_damaged_song_is_not_served(ann: SongsClient, song: str, songs_service: Service) -> None:
    songs_service.song_store.store.put("input-tracks", f"{HASH}.mp3", io.BytesIO(b"x" * 9), size_bytes=9)
    answer = ann.get(f"{song}/song.mp3")
    assert answer.status_code == 500
    assert "altered or cut" in texts_of(answer)["general"][0]


def test_parts_of_a_model_with_six_stems(ann: SongsClient, songs_service: Service) -> None:
    song = ann.upload(MP3, model="htdemucs_6s")
    store_stems(songs_service.song_store, Recipe(model="htdemucs_6s").job_id(HASH), stems=SIX_STEMS)
    for part in SIX_STEMS:
        assert ann.get(f"/songs/{song['id']}/{part}.mp3").content == stem_bytes(part)


@pytest.mark.parametrize(
    "part", ["cowbell.mp3", "vocals.ogg", "guitar.mp3", "vocals.flac", "..%2fsong.mp3", ".mp3"]
)
def test_unknown_part_is_refused(ann: SongsClient, song: str, part: str, songs_service: Service) -> None:
    songs_service.work()
    answer = ann.get(f"{song}/{part}")
    assert answer.status_code in (404, 422)
    assert texts_of(answer)


def test_stems_come_in_a_zip(ann: SongsClient, song: str, songs_service: Service) -> None:
    assert ann.get(f"{song}/stems.zip").status_code == 404
    songs_service.work()
    answer = ann.get(f"{song}/stems.zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].endswith("Gr%C3%B6%C3%9Fe%20%20%202.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(map(archive.read, archive.namelist())) == sorted(map(stem_bytes, FOUR_STEMS))
    with zipfile.ZipFile(io.BytesIO(ann.get(f"{song}/stems.zip?stems=bass").content)) as archive:
        assert len(archive.namelist()) == 1


def test_peaks_of_all_stems_are_numbers(ann: SongsClient, song: str, songs_service: Service) -> None:
    answer = ann.get(f"{song}/peaks.json")
    assert answer.status_code == 404
    assert texts_of(answer)
    songs_service.work()
    store = songs_service.song_store
    manifest = store.manifest(HASH)
    assert manifest
    store.put_peaks(HASH, "bass", manifest.stems["bass"], bytes([0x81, 127, 0, 5]))
    found = ann.get(f"{song}/peaks.json").json()
    assert found == {"samples_per_pair": 512, "is_whole": True, "stems": {"bass": [-127, 127, 0, 5]}}


def test_fragments_are_served_while_the_song_is_split(
    ann: SongsClient, song: str, songs_service: Service
) -> None:
    assert ann.get(f"{song}/pieces").status_code == 404
    consumer, claim = songs_service.claim()
    fragments = Fragments(job_id=HASH, tag="0123456789ab", stems=FOUR_STEMS, count=1, until_s=5.12)
    songs_service.song_store.fragments.put(fragments, "bass", number=1, mp3=b"the bass")
    songs_service.song_store.fragments.put_peaks(fragments, "bass", bytes([0xFF, 1]))
    consumer.renew(claim, progress=0.5, fragments=fragments)
    shown = ann.get(f"{song}/pieces").json()["data"]
    assert shown == {"playable_until_s": 5.12, "stems": list(FOUR_STEMS), "pieces": 1}
    answer = ann.get(f"{song}/pieces/bass/1")
    assert (answer.content, answer.headers["Content-Type"]) == (b"the bass", "audio/mpeg")
    assert ann.get(f"{song}/pieces/bass/2").status_code == 404
    assert ann.get(f"{song}/peaks.json").json()["stems"] == {"bass": [-1, 1]}
    assert ann.get(f"{song}/peaks.json").json()["is_whole"] is False


def test_events_follow_a_song_to_its_end(ann: SongsClient, song: str, songs_service: Service) -> None:
    answer = ann.get(f"{song}/events", stream=True)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    consumer, claim = songs_service.claim()
    songs_service.store_stems(HASH)
    consumer.finish(claim, Result(model="htdemucs", device="cpu", stems=FOUR_STEMS))
    lines = [line.decode() for line in answer.iter_lines(chunk_size=1) if line.startswith(b"data: ")]
    states = [json.loads(line.removeprefix("data: "))["state"] for line in lines]
    assert (states[0], states[-1]) == ("queued", "done")
    ended = ann.get(f"{song}/events", stream=True)
    event_id = next(line.decode()[4:] for line in ended.iter_lines(chunk_size=1) if line.startswith(b"id: "))
    assert ann.get(f"{song}/events", headers={"Last-Event-ID": event_id}).status_code == 204


@pytest.mark.parametrize(
    "path",
    [
        "song.mp3",
        "vocals.mp3",
        "stems.zip",
        "peaks.json",
        "analysis.json",
        "events",
        "pieces",
        "pieces/vocals/1",
    ],
)
def test_results_of_another_user_are_404(ann: SongsClient, song: str, visit: Visit, path: str) -> None:
    absent = f"/songs/999999/{path}"
    for client in (visit("bob"), visit()):
        hidden = client.get(f"{song}/{path}")
        assert hidden.status_code == 404
        text = hidden.text.replace(song.rpartition("/")[2], "999999")
        assert text == client.get(absent).text
