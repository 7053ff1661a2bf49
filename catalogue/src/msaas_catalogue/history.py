"""The history: every separation that has ended, from any API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, or_, select

from msaas.errors import InvalidFields
from msaas.jobs import JobState
from msaas.separations import Separation
from msaas_catalogue.database import Database, upsert
from msaas_catalogue.fields import (
    decode_cursor,
    encode_cursor,
    fit,
    to_ms,
    to_ms_or_none,
    to_s,
    to_s_or_none,
)
from msaas_catalogue.outcomes import forget_outcomes
from msaas_catalogue.tables import EVENT_ID_CHARS, ID_CHARS, NAME_CHARS, SeparationRow
from msaas_catalogue.values import HistoryPage, HistoryQuery

MAX_LIMIT = 1000
#: Characters of a recipe. A longer one, of a job that was pushed by hand, is left out.
_MAX_RECIPE_CHARS = 4096
#: Rows in a statement: SQLite before 3.32 takes 999 parameters.
_BATCH = 50


class History:
    """The separations that have ended. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, separations: Sequence[Separation]) -> None:
        """Add separations, all or none. Idempotent: one with a known `event_id` replaces the earlier row.

        The notes of their jobs are forgotten: the end of a job may change its result.
        """
        rows = list({each.event_id: _columns(each) for each in separations}.values())
        with self._database.writing() as session:
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                session.execute(upsert(SeparationRow, batch, key="event_id", kind=self._database.kind))
            forget_outcomes(session, [row["job_id"] for row in rows])

    def list_page(self, query: HistoryQuery = HistoryQuery()) -> HistoryPage:
        """Return a page of separations, the latest end first.

        Raises:
            InvalidFields: for `limit` or `cursor`.
        """
        statement = _page(query)
        with self._database.reading() as session:
            rows = session.scalars(statement).all()
        shown = rows[: query.limit]
        is_last = len(rows) <= query.limit
        cursor = "" if is_last else encode_cursor(shown[-1].finished_at, shown[-1].id)
        return HistoryPage(tuple(map(_separation_of, shown)), next=cursor)


def _page(query: HistoryQuery) -> Select[SeparationRow]:
    """Return the statement of a page and one row more. Raises `InvalidFields`."""
    if not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidFields(fields={"limit": [f"Field `limit` must be from 1 to {MAX_LIMIT}."]})
    row = SeparationRow
    conditions = [
        column == value
        for column, value in (
            (row.model, query.model),
            (row.song_hash, query.song_hash),
            (row.job_id, query.job_id),
        )
        if value
    ]
    if query.states:
        conditions.append(row.state.in_(sorted(query.states)))
    if query.since is not None:
        conditions.append(row.finished_at >= to_ms(query.since))
    if query.until is not None:
        conditions.append(row.finished_at < to_ms(query.until))
    if query.cursor:
        finished_at, number = decode_cursor(query.cursor, kinds=(int, int))
        same = and_(row.finished_at == finished_at, row.id < number)
        conditions.append(or_(row.finished_at < finished_at, same))
    return (
        select(row).where(*conditions).order_by(row.finished_at.desc(), row.id.desc()).limit(query.limit + 1)
    )


def _columns(each: Separation) -> dict[str, Any]:
    recipe = _recipe_json(each.options)
    names = {
        "model": each.model,
        "requested_model": each.requested_model,
        "weights_sha256": each.weights_sha256,
        "device": each.device,
        "state": each.state.value,
        "error_code": each.error_code,
    }
    return {
        "event_id": fit(each.event_id, chars=EVENT_ID_CHARS),
        "job_id": fit(each.job_id, chars=ID_CHARS),
        "song_hash": fit(each.song_hash, chars=ID_CHARS),
        "recipe": recipe,
        **{name: fit(value, chars=NAME_CHARS) for name, value in names.items()},
        "attempts": min(each.attempts, 2**31 - 1),
        "queued_at": to_ms_or_none(each.queued_at),
        "started_at": to_ms_or_none(each.started_at),
        "finished_at": to_ms(each.finished_at),
        "audio_ms": to_ms_or_none(each.audio_s),
        "work_ms": to_ms_or_none(each.work_s),
    }


def _recipe_json(options: Mapping[str, Any]) -> str:
    """Return the canonical JSON of a recipe, in ASCII."""
    recipe = json.dumps(dict(options), sort_keys=True, separators=(",", ":"))
    return recipe if len(recipe) <= _MAX_RECIPE_CHARS else "{}"


def _separation_of(row: SeparationRow) -> Separation:
    return Separation(
        event_id=row.event_id,
        job_id=row.job_id,
        state=JobState(row.state),
        finished_at=to_s(row.finished_at),
        queued_at=to_s_or_none(row.queued_at),
        started_at=to_s_or_none(row.started_at),
        options=json.loads(row.recipe),
        model=row.model,
        requested_model=row.requested_model,
        weights_sha256=row.weights_sha256,
        device=row.device,
        attempts=row.attempts,
        error_code=row.error_code,
        audio_s=to_s_or_none(row.audio_ms),
    )
