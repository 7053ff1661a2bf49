"""The order of steps: a song is stored before its job is announced, whatever breaks in between."""

import io
from tempfile import TemporaryFile
from typing import BinaryIO

import pytest
from rest.tests.service import FRAME

from msaas.errors import NotAnMp3, QueueUnavailable, SongTooLong, StoreUnavailable
from msaas.jobs import Callback, Job, JobState
from msaas.manifest import Manifest
from msaas.songs import song_hash
from msaas.stems import FOUR_STEMS
from msaas.testing import InMemoryOutbox, InMemoryQueue, InMemoryStore
from msaas.tracks import Tracks
from msaas_rest.separation.options import Options
from msaas_rest.separation.use_case import Separation, Submission

MP3 = FRAME * 100
HASH = song_hash(MP3)


class WatchfulQueue(InMemoryQueue):
    """Knows what was in the store when a job was announced."""

    def __init__(self, tracks: Tracks) -> None:
        super().__init__()
        self._tracks = tracks
        self.songs_at_enqueue: list[str] = []
        self.away_at_enqueue = False

    def enqueue(self, job: Job) -> JobState:
        if self.away_at_enqueue:
            raise QueueUnavailable
        self.songs_at_enqueue = [song.key for song in self._tracks.songs()]
        return super().enqueue(job)


class BrokenStore(InMemoryStore):
    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        raise StoreUnavailable


class House:
    def __init__(self, store: InMemoryStore | None = None) -> None:
        self.tracks = Tracks(store or InMemoryStore())
        self.queue, self.outbox = WatchfulQueue(self.tracks), InMemoryOutbox()
        self._separation = Separation(
            self.queue,
            self.outbox,
            self.tracks,
            self.tracks,
            default_model="htdemucs",
            max_duration_s=10,
        )

    def send(self, mp3: bytes = MP3, *, model: str | None = None, callback: Callback | None = None) -> str:
        with TemporaryFile() as song:
            song.write(mp3)
            return self._separation.request(Submission(song, len(mp3), Options(model), callback))

    def finish(self, job_id: str, *, model: str, stems: tuple[str, ...] = FOUR_STEMS) -> None:
        self.tracks.prepare()
        files = {stem: self.tracks.put_stem(job_id, stem, io.BytesIO(stem.encode())) for stem in stems}
        self.tracks.put_manifest(Manifest(job_id, model, "0" * 64, "test", 1, 44100, stems=files))


@pytest.fixture
def house() -> House:
    return House()


def test_the_song_is_in_the_store_when_its_job_is_announced(house: House) -> None:
    assert house.send() == HASH
    assert house.queue.songs_at_enqueue == [f"{HASH}.mp3"]
    assert house.queue.waiting() == [HASH]


def test_nothing_is_announced_when_the_store_is_down() -> None:
    house = House(BrokenStore())
    with pytest.raises(StoreUnavailable):
        house.send()
    assert house.queue.waiting() == []


def test_a_queue_that_fails_after_the_upload_leaves_a_whole_song_and_no_job(house: House) -> None:
    house.queue.away_at_enqueue = True
    with pytest.raises(QueueUnavailable):
        house.send()
    assert b"".join(house.tracks.song(HASH)) == MP3
    house.queue.away_at_enqueue = False
    assert house.send() == HASH
    assert house.queue.waiting() == [HASH]


def test_a_song_that_is_refused_is_not_stored(house: House) -> None:
    house.tracks.prepare()
    for mp3, error in ((b"no song", NotAnMp3), (FRAME * 1000, SongTooLong)):
        with pytest.raises(error):
            house.send(mp3)
    assert list(house.tracks.songs()) == []
    assert house.queue.waiting() == []


def test_the_default_leaves_the_model_to_the_worker(house: House) -> None:
    house.send()
    other = house.send(model="mdx")
    models = [Job.decode(payload).model for payload in house.queue.entries]
    assert models == [None, "mdx"]
    assert other != HASH


@pytest.mark.parametrize(
    ("model", "stems", "hit"),
    [
        ("htdemucs", FOUR_STEMS, True),
        ("starter", FOUR_STEMS, False),
        ("htdemucs_ft", FOUR_STEMS, False),
        ("htdemucs", FOUR_STEMS[1:], False),
    ],
)
def test_only_a_whole_result_of_the_right_model_is_a_hit(
    house: House, model: str, stems: tuple[str, ...], hit: bool
) -> None:
    house.finish(HASH, model=model, stems=stems)
    house.send(callback=Callback("http://r/", {"mine": 1}))
    assert house.queue.waiting() == ([] if hit else [HASH])
    delivery = house.outbox.due(visibility_s=60)
    assert (delivery is not None) is hit
    assert delivery is None or delivery.body == b'{"mine": 1}'


def test_a_six_stem_model_is_done_when_all_six_are_there(house: House) -> None:
    job_id = Options("htdemucs_6s").job_id(HASH)
    house.finish(job_id, model="htdemucs_6s", stems=FOUR_STEMS)
    assert house.send(model="htdemucs_6s") == job_id
    assert house.queue.waiting() == [job_id]


def test_a_damaged_stem_is_made_again(house: House) -> None:
    house.finish(HASH, model="htdemucs")
    house.tracks.store.put("output-tracks", f"{HASH}-bass.mp3", io.BytesIO(b"cut"), size_bytes=3)
    with pytest.raises(Exception, match="damaged"):
        house.tracks.open_stem(HASH, "bass")
    house.send()
    assert house.queue.waiting() == [HASH]
