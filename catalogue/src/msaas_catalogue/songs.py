"""Songs: the uploads of users and of anonymous clients, their visibility, and the references to a hash.

An upload is visible to its user, and an anonymous one to all. Only its user may rename or delete it, and an
anonymous upload stays until retention removes it. A hash is private if every upload of it belongs to a user.
"""

import time
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, column, delete, func, or_, select, table
from sqlalchemy.orm import Session

from msaas.errors import InvalidFields, SongLimitReached, SongNotFound, UserNotFound
from msaas.recipe import Recipe
from msaas.songs import source_of
from msaas_catalogue.database import Database
from msaas_catalogue.fields import decode_cursor, encode_cursor, is_key, one_line, search_key, to_ms, to_s
from msaas_catalogue.outcomes import forget_outcomes
from msaas_catalogue.tables import TITLE_CHARS, TITLE_KEY_CHARS, SongRow, UserRow
from msaas_catalogue.values import SORTS, References, RemovedSong, Song, SongPage, SongQuery

#: A statement names at most this many hashes.
_BATCH = 500


def parse_title(text: str) -> str:
    """Return a title as it is stored: one line without controls, in NFC.

    Raises:
        InvalidFields: for `title`: it is empty or too long.
    """
    title = one_line(text)
    if not title:
        raise InvalidFields(fields={"title": ["The title is missing."]})
    if len(title) > TITLE_CHARS:
        raise InvalidFields(fields={"title": [f"The title has more than {TITLE_CHARS} characters."]})
    return title


class Songs:
    """The uploads. `user_id` is that of the caller, None for an anonymous one.

    Every method raises `DatabaseUnavailable`.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        title: str,
        *,
        song_hash: str,
        recipe: Recipe,
        user_id: int | None,
        max_songs: int | None = None,
    ) -> Song:
        """Add an upload, before its song is stored: the hash of a stored song is then known here.

        The note of its job is forgotten: without an upload, the result may have left the store unseen.

        An account may have `max_songs` uploads, and all anonymous clients together as many. Several uploads
        of one song count each. Uploads at once do not pass the limit: they are counted after a lock that is
        held until the commit, on the row of the user, or for anonymous ones on the row of the schema's
        version. On SQLite the transaction has the lock of the database.

        Raises:
            InvalidFields: for `title`.
            UserNotFound: the account was deleted.
            SongLimitReached: the uploader has `max_songs` uploads.
        """
        title = parse_title(title)
        row = SongRow(
            title=title,
            title_key=_title_key(title),
            song_hash=song_hash,
            job_id=recipe.job_id(song_hash),
            recipe=recipe.canonical_json(),
            uploader_id=user_id,
            created_at=to_ms(self._clock()),
        )
        with self._database.writing() as session:
            if user_id is not None and session.get(UserRow, user_id, with_for_update=True) is None:
                raise UserNotFound(f"User {user_id} is unknown: the account was deleted.")
            if max_songs is not None:
                if user_id is None:
                    session.execute(_LOCK_ANONYMOUS)
                _check_limit(session, user_id, max_songs)
            session.add(row)
            session.flush()
            forget_outcomes(session, [row.job_id])
            return song_of(row)

    def check_limit(self, *, user_id: int | None, max_songs: int) -> None:
        """Refuse an upload that `add` would refuse. Raises `SongLimitReached`."""
        with self._database.reading() as session:
            _check_limit(session, user_id, max_songs)

    def get(self, song_id: int, *, user_id: int | None) -> Song:
        """Raises `SongNotFound`, also for the song of another user."""
        with self._database.reading() as session:
            return song_of(_get(session, song_id, _visible_to(user_id)))

    def list_page(self, query: SongQuery = SongQuery(), *, user_id: int | None) -> SongPage:
        """Return a page of the songs that the caller may see.

        Raises:
            InvalidFields: for `sort`, `limit` or `cursor`.
        """
        statement = _page(query, user_id)
        with self._database.reading() as session:
            found = [song_of(row) for row in session.scalars(statement)]
        if query.limit is None or len(found) <= query.limit:
            return SongPage(tuple(found))
        songs = found[: query.limit]
        last = songs[-1]
        key = _title_key(last.title) if _is_by_title(query) else ""
        return SongPage(tuple(songs), next=encode_cursor(query.sort, key, last.id))

    def rename(self, song_id: int, *, title: str, user_id: int | None) -> Song:
        """Give a song of the caller another title.

        Raises:
            InvalidFields: for `title`.
            SongNotFound: the caller did not upload this song with a login.
        """
        title = parse_title(title)
        with self._database.writing() as session:
            row = _get(session, song_id, _owned_by(user_id))
            row.title, row.title_key = title, _title_key(title)
            session.flush()
            return song_of(row)

    def delete(self, song_id: int, *, user_id: int | None) -> RemovedSong:
        """Remove a song of the caller. Return it with the references that are left.

        Raises:
            SongNotFound: the caller did not upload this song with a login.
        """
        with self._database.writing() as session:
            song = song_of(_get(session, song_id, _owned_by(user_id)))
            session.execute(delete(SongRow).where(SongRow.id == song_id))
            return RemovedSong(song, left=references_left(session, song))

    def remove(self, song_id: int) -> None:
        """Remove an upload whose song was not stored, if it is there."""
        with self._database.writing() as session:
            session.execute(delete(SongRow).where(SongRow.id == song_id))

    def list_uploads(self, song_hash: str) -> list[Song]:
        """Return all uploads of a song, the oldest first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(SongRow).where(SongRow.song_hash == song_hash).order_by(SongRow.id)
            ).all()
        return [song_of(row) for row in rows]

    def list_anonymous(
        self, *, since: float, until: float, after_id: int = 0, limit: int | None = None
    ) -> list[Song]:
        """Return the anonymous uploads that were added in this time, the oldest first.

        With `limit` at most so many are returned. `after_id` is the number of the last one before them.
        """
        added = and_(SongRow.created_at.between(to_ms(since), to_ms(until)), SongRow.id > after_id)
        statement = select(SongRow).where(SongRow.uploader_id.is_(None), added).order_by(SongRow.id)
        with self._database.reading() as session:
            rows = session.scalars(statement if limit is None else statement.limit(limit)).all()
        return [song_of(row) for row in rows]

    def remove_anonymous(self, song_ids: Collection[int]) -> int:
        """Remove those of the uploads that are anonymous and still there. Return their number.

        The note of a job goes with its last upload. Take at most `_BATCH` uploads: they are one transaction.
        """
        named = and_(SongRow.id.in_(song_ids), SongRow.uploader_id.is_(None))
        with self._database.writing() as session:
            rows = session.scalars(select(SongRow).where(named).order_by(SongRow.id).with_for_update())
            songs = [song_of(row) for row in rows]
            session.execute(delete(SongRow).where(SongRow.id.in_([song.id for song in songs])))
            song_hashes = {song.song_hash for song in songs}
            left = session.scalars(select(SongRow.job_id).where(SongRow.song_hash.in_(song_hashes)))
            forget_outcomes(session, {song.job_id for song in songs} - set(left))
            return len(songs)

    def count_references(self, song_hash: str, *, job_id: str) -> References:
        """Return the numbers of uploads of this song, and of those with this job."""
        with self._database.reading() as session:
            return _count(session, song_hash, job_id)

    def find_jobs(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that an upload refers to."""
        song_hashes, found = sorted({source_of(job_id) for job_id in job_ids}), set[str]()
        with self._database.reading() as session:
            for start in range(0, len(song_hashes), _BATCH):
                batch = song_hashes[start : start + _BATCH]
                found.update(session.scalars(select(SongRow.job_id).where(SongRow.song_hash.in_(batch))))
        return found & set(job_ids)

    def is_referenced(self, song_hash: str) -> bool:
        """Return whether an upload has this hash."""
        with self._database.reading() as session:
            found = session.scalar(select(SongRow.id).where(SongRow.song_hash == song_hash).limit(1))
        return found is not None

    def has_uploader(self, song_hash: str) -> bool:
        """Return whether a user uploaded this hash."""
        is_of_a_user = and_(SongRow.song_hash == song_hash, SongRow.uploader_id.is_not(None))
        with self._database.reading() as session:
            return session.scalar(select(SongRow.id).where(is_of_a_user).limit(1)) is not None

    def is_visible(self, song_hash: str, *, user_id: int | None) -> bool:
        """Return whether the caller may see an upload of this song."""
        with self._database.reading() as session:
            found = session.scalar(
                select(SongRow.id).where(SongRow.song_hash == song_hash, _visible_to(user_id)).limit(1)
            )
        return found is not None

    def all_private_songs(self) -> set[str]:
        """Return the hashes that users uploaded, and no anonymous client.

        A hash without an upload is not private: it is that of a song of `/apiv1`.
        """
        with self._database.reading() as session:
            return set(session.scalars(_PRIVATE))

    def referenced_songs(self) -> set[str]:
        """Return the hashes of all uploads."""
        with self._database.reading() as session:
            return set(session.scalars(select(SongRow.song_hash).distinct()))


# COUNT of a column leaves out NULL, which is the uploader of an anonymous song.
_PRIVATE = (
    select(SongRow.song_hash)
    .group_by(SongRow.song_hash)
    .having(func.count(SongRow.id) == func.count(SongRow.uploader_id))
)


# A row that each prepared database has once. A migration that runs meanwhile waits for the commit.
_LOCK_ANONYMOUS: Select[Any] = (
    select(column("version_num")).select_from(table("alembic_version")).with_for_update()
)


def _check_limit(session: Session, user_id: int | None, max_songs: int) -> None:
    """Raises `SongLimitReached`."""
    is_of_uploader = SongRow.uploader_id.is_(None) if user_id is None else SongRow.uploader_id == user_id
    found = session.scalar(select(func.count()).select_from(SongRow).where(is_of_uploader)) or 0
    if found < max_songs:
        return
    if user_id is None:
        raise SongLimitReached(
            f"The limit of {max_songs} songs of all anonymous clients is reached. Log in to upload songs."
        )
    raise SongLimitReached(f"Your account has its limit of {max_songs} songs. Delete songs to upload others.")


def _visible_to(user_id: int | None) -> ColumnElement[bool]:
    anonymous = SongRow.uploader_id.is_(None)
    return anonymous if user_id is None else or_(anonymous, SongRow.uploader_id == user_id)


def _owned_by(user_id: int | None) -> ColumnElement[bool]:
    """An anonymous caller owns no song: `= NULL` holds for no row."""
    return SongRow.uploader_id == (-1 if user_id is None else user_id)


def _get(session: Session, song_id: int, condition: ColumnElement[bool]) -> SongRow:
    statement = select(SongRow).where(SongRow.id == song_id, condition)
    row = session.scalars(statement).one_or_none() if is_key(song_id) else None
    if row is None:
        raise SongNotFound(f"Song {song_id} does not exist.")
    return row


def references_left(session: Session, song: Song) -> References:
    """Count the uploads that refer to the hash and to the job of a song, in the transaction of the caller.

    The note of a job goes with the last of them.
    """
    left = _count(session, song.song_hash, song.job_id)
    if not left.to_job:
        forget_outcomes(session, [song.job_id])
    return left


def _count(session: Session, song_hash: str, job_id: str) -> References:
    jobs = session.scalars(select(SongRow.job_id).where(SongRow.song_hash == song_hash)).all()
    return References(to_song=len(jobs), to_job=jobs.count(job_id))


def _title_key(title: str) -> str:
    return search_key(title, chars=TITLE_KEY_CHARS)


def _is_by_title(query: SongQuery) -> bool:
    return query.sort.endswith("title")


def _page(query: SongQuery, user_id: int | None) -> Select[SongRow]:
    """Return the statement of a page and one song more. Raises `InvalidFields`."""
    if query.sort not in SORTS:
        raise InvalidFields(fields={"sort": [f"Field `sort` must be one of {', '.join(SORTS)}."]})
    if query.limit is not None and query.limit < 1:
        raise InvalidFields(fields={"limit": ["Field `limit` must be at least 1."]})
    statement = select(SongRow).where(_visible_to(user_id))
    if search := search_key(query.search, chars=TITLE_KEY_CHARS):
        statement = statement.where(SongRow.title_key.contains(search, autoescape=True))
    if query.cursor:
        statement = statement.where(_after(query))
    columns: list[Any] = [SongRow.title_key, SongRow.id] if _is_by_title(query) else [SongRow.id]
    if query.sort.startswith("-"):
        columns = [column.desc() for column in columns]
    statement = statement.order_by(*columns)
    return statement if query.limit is None else statement.limit(query.limit + 1)


def _after(query: SongQuery) -> ColumnElement[bool]:
    """Return the condition of the rows behind the cursor. Raises `InvalidFields`."""
    sort, key, song_id = decode_cursor(query.cursor, kinds=(str, str, int))
    if sort != query.sort:
        raise InvalidFields(fields={"cursor": ["Field `cursor` belongs to a list with another order."]})
    title, number = SongRow.title_key, SongRow.id
    if query.sort.startswith("-"):
        behind, later = number < song_id, title < key
    else:
        behind, later = number > song_id, title > key
    return or_(later, and_(title == key, behind)) if _is_by_title(query) else behind


def song_of(row: SongRow) -> Song:
    return Song(
        id=row.id,
        title=row.title,
        song_hash=row.song_hash,
        job_id=row.job_id,
        recipe=row.recipe,
        uploader_id=row.uploader_id,
        created_at=to_s(row.created_at),
    )
