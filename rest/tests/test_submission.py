"""Submission of songs: a song is stored before its job is announced, and finished work is not done again."""

import io
import threading
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import pytest
from rest.tests.service import FRAME, store_stems

from msaas.errors import NotAudio, QueueUnavailable, SongTooLong, StoreUnavailable, TooBusy, TrackNotFound
from msaas.jobs import Callback, Job, JobState
from msaas.models import FOUR_STEMS, SIX_STEMS
from msaas.queue.abilities import Abilities
from msaas.queue.consumer import Result
from msaas.queue.memory import InMemoryOutbox, InMemoryQueue
from msaas.queue.protocol import EXHAUSTED
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_rest.api.jobs.status import find_status
from msaas_rest.api.separate.submission import Submission, Submitter

MP3 = FRAME * 100
HASH = song_hash(MP3)


class RecordingQueue(InMemoryQueue):
    """Records the songs that were stored when a job was announced."""

    def __init__(self, song_store: SongStore) -> None:
        super().__init__()
        self._song_store = song_store
        self.songs_at_enqueue: list[str] = []
        self.away_at_enqueue = False

    def enqueue(self, job: Job, **facts: Any) -> JobState:
        if self.away_at_enqueue:
            raise QueueUnavailable
        self.songs_at_enqueue = [song.key for song in self._song_store.songs()]
        return super().enqueue(job, **facts)


class ReadOnlyStore(InMemoryStore):
    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        raise StoreUnavailable


class System:
    """A submitter on the in-memory adapters."""

    def __init__(self, store: InMemoryStore | None = None) -> None:
        self.song_store = SongStore(store or InMemoryStore())
        self.queue, self.outbox = RecordingQueue(self.song_store), InMemoryOutbox()
        self._submitter = Submitter(
            queue=self.queue,
            registry=self.queue.registry,
            outbox=self.outbox,
            song_store=self.song_store,
            uploads=self.song_store,
            default_model="htdemucs",
            max_duration_s=10,
        )

    def send(self, mp3: bytes = MP3, *, callback: Callback | None = None, **options: Any) -> str:
        with TemporaryFile() as song:
            song.write(mp3)
            submission = Submission(
                song=song, size_bytes=len(mp3), recipe=Recipe.parse(options), callback=callback
            )
            return self._submitter.submit(submission).job_id

    def work(self, *, model: str) -> None:
        """Finish the next job as a worker does that runs `model`."""
        consumer = self.queue.consumer("w1")
        payload = consumer.take(timeout_s=0)
        assert payload is not None
        claim = consumer.claim(Job.decode(payload), payload=payload)
        store_stems(self.song_store, claim.job.job_id, model=model, options=dict(claim.job.options))
        consumer.finish(claim, Result(model=model, device="cpu", stems=FOUR_STEMS))


@pytest.fixture
def system() -> System:
    return System()


# Order of the steps


def test_song_is_stored_when_its_job_is_announced(system: System) -> None:
    assert system.send() == HASH
    assert system.queue.songs_at_enqueue == [f"{HASH}.mp3"]
    assert system.queue.waiting() == [HASH]


def test_nothing_is_announced_when_store_is_down() -> None:
    system = System(ReadOnlyStore())
    with pytest.raises(StoreUnavailable):
        system.send()
    assert system.queue.waiting() == []


def test_queue_failure_after_upload_leaves_a_whole_song_and_no_job(system: System) -> None:
    system.queue.away_at_enqueue = True
    with pytest.raises(QueueUnavailable):
        system.send()
    assert b"".join(system.song_store.song(HASH)) == MP3
    system.queue.away_at_enqueue = False
    assert system.send() == HASH
    assert system.queue.waiting() == [HASH]


def test_refused_song_is_not_stored(system: System) -> None:
    system.song_store.prepare()
    for mp3, error in ((b"not a song", NotAudio), (FRAME * 1000, SongTooLong)):
        with pytest.raises(error):
            system.send(mp3)
    assert list(system.song_store.songs()) == []
    assert system.queue.waiting() == []


def test_default_model_is_left_to_the_worker(system: System) -> None:
    system.send()
    other = system.send(model="mdx")
    options = [dict(Job.decode(payload).options) for payload in system.queue.entries]
    assert options == [{}, {"model": "mdx"}]
    assert other != HASH


# Finished work


@pytest.mark.parametrize(
    ("model", "stems", "is_hit"),
    [
        ("htdemucs", FOUR_STEMS, True),
        ("starter", FOUR_STEMS, False),
        ("htdemucs_ft", FOUR_STEMS, False),
        ("htdemucs", FOUR_STEMS[1:], False),
    ],
)
def test_only_a_whole_result_of_the_right_model_is_a_hit(
    system: System, model: str, stems: tuple[str, ...], is_hit: bool
) -> None:
    store_stems(system.song_store, HASH, model=model, stems=stems)
    system.send(callback=Callback("http://r/", {"mine": 1}))
    assert system.queue.waiting() == ([] if is_hit else [HASH])
    delivery = system.outbox.receive(visibility_s=60)
    assert (delivery is not None) is is_hit
    assert delivery is None or delivery.body == b'{"mine": 1}'


@pytest.mark.parametrize(("stems", "is_hit"), [(FOUR_STEMS, False), (SIX_STEMS, True)])
def test_result_of_a_six_stem_model_needs_all_six(
    system: System, stems: tuple[str, ...], is_hit: bool
) -> None:
    options = {"model": "htdemucs_6s"}
    job_id = Recipe(model="htdemucs_6s").job_id(HASH)
    store_stems(system.song_store, job_id, model="htdemucs_6s", stems=stems, options=options)
    assert system.send(model="htdemucs_6s") == job_id
    assert system.queue.waiting() == ([] if is_hit else [job_id])


def test_damaged_stem_is_made_again(system: System) -> None:
    store_stems(system.song_store, HASH)
    system.song_store.store.put("output-tracks", f"{HASH}-bass.mp3", io.BytesIO(b"cut"), size_bytes=3)
    with pytest.raises(TrackNotFound, match="damaged"):
        system.song_store.open_stem(HASH, "bass")
    system.send()
    assert system.queue.waiting() == [HASH]


# Stand-ins: models that workers run while the requested one is not available


@pytest.mark.parametrize("options", [{}, {"model": "mdx_extra"}])
def test_result_of_a_stand_in_is_done_at_once_and_status_is_untouched(
    system: System, options: dict[str, str]
) -> None:
    job_id = system.send(**options)
    system.work(model="starter")
    system.queue.consumer("w1").announce(Abilities({options.get("model", "htdemucs"): "starter"}))
    before = system.queue.status(job_id)
    assert system.send(callback=Callback("http://r/"), **options) == job_id
    assert system.queue.waiting() == []
    assert system.queue.status(job_id) == before
    assert system.outbox.receive(visibility_s=60) is not None


@pytest.mark.parametrize("runs", ["htdemucs", "mdx"])
def test_result_of_an_ended_or_other_stand_in_is_made_again(system: System, runs: str) -> None:
    system.send()
    system.work(model="starter")
    system.queue.consumer("w1").announce(Abilities({"htdemucs": "starter"}))
    system.queue.consumer("w1").announce(Abilities({"htdemucs": runs}))
    system.send()
    assert system.queue.waiting() == [HASH]


def test_result_of_the_requested_model_is_a_hit_while_a_stand_in_runs(system: System) -> None:
    system.send()
    system.work(model="htdemucs")
    system.queue.consumer("w1").announce(Abilities({"htdemucs": "starter"}))
    system.send()
    assert system.queue.waiting() == []


def test_stand_in_of_one_model_does_not_answer_for_another(system: System) -> None:
    system.send(model="mdx")
    system.work(model="starter")
    system.queue.consumer("w1").announce(Abilities({"htdemucs": "starter"}))
    job_id = system.send(model="mdx")
    assert system.queue.waiting() == [job_id]


# Songs that were altered in the store


@pytest.mark.parametrize("altered", [bytes(len(MP3)), MP3[:-1]], ids=["altered", "cut"])
def test_altered_song_is_stored_again(system: System, altered: bytes) -> None:
    system.send()
    system.song_store.store.put("input-tracks", f"{HASH}.mp3", io.BytesIO(altered), size_bytes=len(altered))
    system.send()
    assert b"".join(system.song_store.song(HASH)) == MP3
    assert system.queue.waiting() == [HASH]


# Requests and retention


def test_song_that_is_sent_is_spared_by_retention(system: System) -> None:
    system.send()
    assert not system.queue.registry.begin_deletion(HASH)


def test_finished_song_that_is_sent_again_is_spared_by_retention(system: System) -> None:
    store_stems(system.song_store, HASH)
    system.send()
    assert system.queue.waiting() == []
    assert not system.queue.registry.begin_deletion(HASH)


def test_variant_of_a_song_is_spared_with_it(system: System) -> None:
    system.send(model="mdx")
    assert not system.queue.registry.begin_deletion(HASH)


def test_result_that_is_deleted_meanwhile_is_made_again(system: System) -> None:
    """The request waits for the end of the deletion."""
    store_stems(system.song_store, HASH)
    system.queue.registry.begin_deletion(HASH)

    def delete() -> None:
        system.song_store.delete_contents()
        system.queue.registry.end_deletion(HASH)

    deletion = threading.Timer(0.2, delete)
    deletion.start()
    system.send()
    deletion.join()
    assert system.queue.waiting() == [HASH]
    assert b"".join(system.song_store.song(HASH)) == MP3


def test_deletion_that_takes_long_is_503_and_nothing_is_stored(system: System) -> None:
    system.song_store.prepare()
    system.queue.registry.begin_deletion(HASH)
    with pytest.raises(TooBusy, match=HASH):
        system.send()
    assert system.queue.waiting() == []
    assert list(system.song_store.songs()) == []


def test_failed_job_whose_result_is_stored_is_done_once_it_is_sent_again(system: System) -> None:
    """For example the last attempt died between its manifest and its end."""
    system.send()
    consumer = system.queue.consumer("w1")
    payload = consumer.take(timeout_s=0)
    assert payload is not None
    claim = consumer.claim(Job.decode(payload), payload=payload)
    store_stems(system.song_store, HASH)
    consumer.fail(claim, EXHAUSTED)
    system.send()
    assert system.queue.waiting() == []
    assert find_status(HASH, queue=system.queue, song_store=system.song_store).state is JobState.DONE
