"""Outcomes are noted once, and a change of the store between its look and its note is seen."""

import io
from collections.abc import Callable, Collection, Iterable

import pytest

from msaas.manifest import Manifest
from msaas.outcomes import Outcome, Outcomes
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore

JOB = "a" * 64
SPLIT = Outcome(job_id=JOB, is_split=True, model="mdx")
ALONE = Outcome(job_id=JOB, is_split=False)


class Notes:
    """Implements `OutcomeNotes`. `before_record` happens between the look at the store and the note."""

    def __init__(self) -> None:
        self.noted: dict[str, Outcome] = {}
        self.before_record: Callable[[], object] = lambda: None

    def find(self, job_ids: Collection[str]) -> dict[str, Outcome]:
        return {job_id: self.noted[job_id] for job_id in job_ids if job_id in self.noted}

    def record(self, outcomes: Iterable[Outcome]) -> None:
        self.before_record()
        self.noted.update((each.job_id, each) for each in outcomes)

    def forget(self, job_ids: Collection[str]) -> None:
        for job_id in job_ids:
            self.noted.pop(job_id, None)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def song_store(notes: Notes) -> SongStore:
    """A store with a song. Its changes reach the notes."""
    store = SongStore(InMemoryStore(), on_change=lambda job_id: notes.forget([job_id]))
    store.prepare()
    store.put_song(JOB, io.BytesIO(b"song"), size_bytes=4)
    return store


def split(song_store: SongStore) -> None:
    song_store.put_manifest(
        Manifest(job_id=JOB, model="mdx", weights_sha256="", engine="", samples=1, samplerate=44100, stems={})
    )


def test_outcome_is_noted_by_the_first_reader(notes: Notes, song_store: SongStore) -> None:
    outcomes = Outcomes(song_store=song_store, notes=lambda: notes)
    assert outcomes.find([JOB]) == notes.noted == {JOB: ALONE}
    split(song_store)
    assert notes.noted == {}
    assert outcomes.find([JOB, JOB]) == notes.noted == {JOB: SPLIT}
    song_store.delete_contents()
    assert outcomes.find([JOB]) == notes.noted == {}


def test_song_that_is_removed_leaves_no_note(notes: Notes, song_store: SongStore) -> None:
    outcomes = Outcomes(song_store=song_store, notes=lambda: notes)
    split(song_store)
    outcomes.find([JOB])
    song_store.remove_song(JOB)
    assert outcomes.find([JOB]) == notes.noted == {}


@pytest.mark.parametrize("is_split", [True, False])
def test_change_between_look_and_note_is_seen(notes: Notes, song_store: SongStore, is_split: bool) -> None:
    if not is_split:
        split(song_store)
    change = split if is_split else SongStore.delete_contents
    notes.before_record = lambda: change(song_store)
    Outcomes(song_store=song_store, notes=lambda: notes).find([JOB])
    assert notes.noted == {}


def test_check_reads_the_store_and_forgets_a_wrong_note(notes: Notes, song_store: SongStore) -> None:
    outcomes = Outcomes(song_store=song_store, notes=lambda: notes)
    notes.noted = {JOB: SPLIT}
    assert outcomes.check(JOB) == ALONE
    assert notes.noted == {}
    assert outcomes.check("b" * 64) is None
