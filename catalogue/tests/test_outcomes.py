"""Notes of the results of jobs, and the steps that forget them, on each database."""

import pytest

from msaas.jobs import JobState
from msaas.outcomes import Outcome
from msaas.recipe import Recipe
from msaas.separations import Separation
from msaas_catalogue import Catalogue
from msaas_catalogue.tables import ID_CHARS

HASH, OTHER = "a" * 64, "b" * 64
SPLIT = Outcome(job_id=HASH, is_split=True, model="htdemucs", stems=("vocals", "bass"))
ALONE = Outcome(job_id=OTHER, is_split=False)
PASSWORD = "correct horse"


def test_notes_are_found_replaced_and_forgotten(catalogue: Catalogue) -> None:
    notes = catalogue.outcomes
    assert notes.find([HASH, OTHER]) == {}
    notes.record([SPLIT, ALONE])
    assert notes.find([HASH, OTHER, "c" * 64]) == {HASH: SPLIT, OTHER: ALONE}
    better = Outcome(job_id=OTHER, is_split=True, model="mdx", stems=("drums",))
    notes.record([better])
    assert notes.find([HASH, OTHER]) == {HASH: SPLIT, OTHER: better}
    notes.forget([HASH])
    assert notes.find([HASH, OTHER]) == {OTHER: better}


def test_many_notes_are_recorded_at_once(catalogue: Catalogue) -> None:
    outcomes = {f"{number:064x}": Outcome(job_id=f"{number:064x}", is_split=False) for number in range(1201)}
    catalogue.outcomes.record(outcomes.values())
    assert catalogue.outcomes.find(outcomes) == outcomes
    catalogue.outcomes.forget(outcomes)
    assert catalogue.outcomes.find(outcomes) == {}


def test_odd_values_fit_their_columns(catalogue: Catalogue) -> None:
    odd = Outcome(job_id="x" * ID_CHARS, is_split=True, model="m" * 100, stems=("été\0", "ночь"))
    catalogue.outcomes.record([odd])
    [found] = catalogue.outcomes.find([odd.job_id]).values()
    assert (found.model, found.stems) == ("m" * 64, odd.stems)


def test_upload_forgets_the_note_of_its_job(catalogue: Catalogue) -> None:
    catalogue.outcomes.record([SPLIT, ALONE])
    catalogue.songs.add("Hum", song_hash=HASH, recipe=Recipe(), user_id=None)
    assert catalogue.outcomes.find([HASH, OTHER]) == {OTHER: ALONE}


@pytest.mark.parametrize("state", list(JobState)[2:])
def test_end_of_a_job_forgets_its_note(catalogue: Catalogue, state: JobState) -> None:
    catalogue.outcomes.record([SPLIT, ALONE])
    catalogue.history.add([Separation(event_id="1", job_id=HASH, state=state, finished_at=1.0)])
    assert catalogue.outcomes.find([HASH, OTHER]) == {OTHER: ALONE}


def test_note_goes_with_the_last_song(catalogue: Catalogue) -> None:
    user = catalogue.accounts.register("ann", password=PASSWORD, repeated=PASSWORD).user
    songs = [
        catalogue.songs.add("Hum", song_hash=name, recipe=Recipe(), user_id=user.id)
        for name in (HASH, HASH, OTHER)
    ]
    catalogue.outcomes.record([SPLIT, ALONE])
    catalogue.songs.delete(songs[0].id, user_id=user.id)
    assert catalogue.outcomes.find([HASH, OTHER]) == {HASH: SPLIT, OTHER: ALONE}
    catalogue.songs.delete(songs[1].id, user_id=user.id)
    assert catalogue.outcomes.find([HASH, OTHER]) == {OTHER: ALONE}
    catalogue.accounts.delete(user.id, password=PASSWORD)
    assert catalogue.outcomes.find([OTHER]) == {}


def test_jobs_of_uploads_are_found(catalogue: Catalogue) -> None:
    song = catalogue.songs.add("Hum", song_hash=HASH, recipe=Recipe(model="mdx"), user_id=None)
    assert catalogue.songs.find_jobs({song.job_id, HASH, OTHER}) == {song.job_id}
    assert catalogue.songs.find_jobs(set()) == set()
