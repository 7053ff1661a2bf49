"""Notes of the results of jobs, which make a list of songs independent of the store."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from msaas.outcomes import Outcome
from msaas_catalogue.database import Database, upsert
from msaas_catalogue.fields import fit
from msaas_catalogue.tables import ID_CHARS, NAME_CHARS, OutcomeRow

#: A statement names at most this many jobs.
_BATCH = 500
#: Rows in a statement that writes: SQLite before 3.32 takes 999 parameters.
_ROWS = 200


class OutcomeTable:
    """Implements `OutcomeNotes`. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, job_ids: Collection[str]) -> dict[str, Outcome]:
        """Return the notes of these jobs."""
        found = {}
        with self._database.reading() as session:
            for names in _batches(job_ids, size=_BATCH):
                for row in session.scalars(select(OutcomeRow).where(OutcomeRow.job_id.in_(names))):
                    found[row.job_id] = _outcome_of(row)
        return found

    def record(self, outcomes: Iterable[Outcome]) -> None:
        """Note outcomes, all or none. Each replaces an earlier note of its job."""
        rows = {each.job_id: _columns(each) for each in outcomes}
        with self._database.writing() as session:
            for names in _batches(rows, size=_ROWS):
                values = [rows[name] for name in names]
                session.execute(upsert(OutcomeRow, values, key="job_id", kind=self._database.kind))

    def forget(self, job_ids: Collection[str]) -> None:
        """Forget the notes of these jobs."""
        with self._database.writing() as session:
            forget_outcomes(session, job_ids)


def forget_outcomes(session: Session, job_ids: Collection[str]) -> None:
    """Forget the notes of these jobs in the transaction of the caller."""
    for names in _batches(job_ids, size=_BATCH):
        session.execute(delete(OutcomeRow).where(OutcomeRow.job_id.in_(names)))


def _batches(job_ids: Collection[str], *, size: int) -> Iterator[Sequence[str]]:
    """Yield the jobs in one order, so that two writers wait for each other and never both."""
    names = sorted(set(job_ids))
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _columns(outcome: Outcome) -> dict[str, object]:
    return {
        "job_id": fit(outcome.job_id, chars=ID_CHARS),
        "is_split": outcome.is_split,
        "model": fit(outcome.model, chars=NAME_CHARS),
        "stems": json.dumps(outcome.stems),
    }


def _outcome_of(row: OutcomeRow) -> Outcome:
    return Outcome(
        job_id=row.job_id, is_split=row.is_split, model=row.model, stems=tuple(json.loads(row.stems))
    )
