"""Outcomes: the result of a job in the store, noted in the database, so that a list of songs reads no object.

A note is made by the first process that reads the store, and forgotten by each step that changes the result.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from msaas.manifest import Manifest
from msaas.songs import source_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a job. Without one, `is_split` is False: the store has the song alone."""

    job_id: str
    is_split: bool
    model: str = ""
    stems: tuple[str, ...] = ()


class Objects(Protocol):
    """The store of songs and results. Every method raises `StoreUnavailable`."""

    def manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest, or None while the job is not done."""

    def has_song(self, song_hash: str) -> bool: ...


class OutcomeNotes(Protocol):
    """The notes in the database. Every method raises `DatabaseUnavailable`."""

    def find(self, job_ids: Collection[str]) -> Mapping[str, Outcome]:
        """Return the notes of these jobs."""

    def record(self, outcomes: Iterable[Outcome]) -> None:
        """Note outcomes. Each replaces an earlier note of its job."""

    def forget(self, job_ids: Collection[str]) -> None:
        """Forget the notes of these jobs."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Reads outcomes from the notes, and from the store where there is none. `notes` opens the database.

    Every method raises `Unavailable`. A job of which the store has neither song nor result has no outcome.
    """

    song_store: Objects
    notes: Callable[[], OutcomeNotes]

    def find(self, job_ids: Collection[str]) -> Mapping[str, Outcome]:
        """Return the outcomes of jobs that have ended. Those that are read from the store are noted."""
        if not job_ids:
            return {}
        noted = self.notes().find(job_ids)
        return {**noted, **self.note(set(job_ids) - noted.keys())}

    def check(self, job_id: str) -> Outcome | None:
        """Return the outcome in the store. A note that differs is forgotten."""
        outcome = self._read(job_id)
        notes = self.notes()
        if notes.find([job_id]).get(job_id, outcome) != outcome:
            notes.forget([job_id])
        return outcome

    def note(self, job_ids: Iterable[str]) -> Mapping[str, Outcome]:
        """Note the outcomes in the store, and return them.

        A step that changes a result forgets its note afterwards. If that came between the look at the store
        and the note, the second look sees it.
        """
        found = {job_id: outcome for job_id in sorted(job_ids) if (outcome := self._read(job_id))}
        if found:
            self.notes().record(found.values())
            if changed := [job_id for job_id, outcome in found.items() if self._read(job_id) != outcome]:
                self.notes().forget(changed)
        return found

    def _read(self, job_id: str) -> Outcome | None:
        manifest = self.song_store.manifest(job_id)
        if manifest is not None:
            return Outcome(job_id=job_id, is_split=True, model=manifest.model, stems=tuple(manifest.stems))
        has_song = self.song_store.has_song(source_of(job_id))
        return Outcome(job_id=job_id, is_split=False) if has_song else None
