"""Sessions: a random token for the client, of which the database has the SHA-256."""

import hashlib
import secrets
import time
from collections.abc import Callable

from sqlalchemy import delete, false, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from msaas.errors import SessionNotFound, SessionUnknown
from msaas_catalogue.database import Database
from msaas_catalogue.fields import fit, is_key, to_ms, to_s
from msaas_catalogue.tables import AGENT_CHARS, SessionRow, UserRow
from msaas_catalogue.users import user_of
from msaas_catalogue.values import Login, LoginSession

#: A session ends this long after its login.
SESSION_S = 30 * 24 * 3600
#: The oldest sessions of a user beyond this number end.
MAX_SESSIONS = 100
#: `last_seen_at` is this exact: a write for each request would cost too much.
_SEEN_EVERY_MS = 60_000
_TOKEN_BYTES = 32


class Sessions:
    """The sessions of users. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def find(self, token: str) -> Login:
        """Return the session with this token, and its user.

        Raises:
            SessionUnknown: the session has ended, or its user is disabled or deleted.
        """
        now = to_ms(self._clock())
        with self._database.reading() as session:
            found = session.execute(
                select(SessionRow, UserRow)
                .join(UserRow, UserRow.id == SessionRow.user_id)
                .where(SessionRow.token_sha256 == _digest(token))
            ).one_or_none()
        if found is None or found[0].expires_at <= now or found[1].disabled_at is not None:
            raise SessionUnknown("The session is unknown or has ended. Log in again.")
        row, user = found
        if row.last_seen_at + _SEEN_EVERY_MS <= now:
            row.last_seen_at = now
            self._note_seen(row.id, now)
        return Login(user=user_of(user), session=session_of(row), token=token)

    def _note_seen(self, session_id: int, now: int) -> None:
        with self._database.writing() as session:
            session.execute(update(SessionRow).where(SessionRow.id == session_id).values(last_seen_at=now))

    def list_sessions(self, user_id: int) -> list[LoginSession]:
        """Return the sessions of a user, the latest login first."""
        now = to_ms(self._clock())
        with self._database.reading() as session:
            rows = session.scalars(
                select(SessionRow)
                .where(SessionRow.user_id == user_id, SessionRow.expires_at > now)
                .order_by(SessionRow.id.desc())
            ).all()
        return [session_of(row) for row in rows]

    def end(self, token: str) -> None:
        """End the session with this token, if there is one."""
        with self._database.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_sha256 == _digest(token)))

    def revoke(self, session_id: int, *, user_id: int) -> None:
        """End a session of this user. Raises `SessionNotFound`."""
        condition = SessionRow.id == session_id if is_key(session_id) else false()
        with self._database.writing() as session:
            if not _rows(session.execute(delete(SessionRow).where(condition, SessionRow.user_id == user_id))):
                raise SessionNotFound(f"You have no session {session_id}.")

    def revoke_others(self, *, user_id: int, keep: int) -> int:
        """End the sessions of this user but one. Return their number."""
        with self._database.writing() as session:
            ended = session.execute(
                delete(SessionRow).where(SessionRow.user_id == user_id, SessionRow.id != keep)
            )
            return _rows(ended)

    def remove_expired(self) -> int:
        """Delete the rows of sessions that have ended. Return their number."""
        with self._database.writing() as session:
            ended = session.execute(delete(SessionRow).where(SessionRow.expires_at <= to_ms(self._clock())))
            return _rows(ended)


def open_session(session: Session, user: UserRow, *, agent: str, now: float) -> Login:
    """Insert a session of the user, in the transaction of the caller."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    row = SessionRow(
        user_id=user.id,
        token_sha256=_digest(token),
        agent=fit(agent, chars=AGENT_CHARS),
        created_at=to_ms(now),
        last_seen_at=to_ms(now),
        expires_at=to_ms(now + SESSION_S),
    )
    session.add(row)
    session.flush()
    _end_oldest(session, user.id)
    return Login(user=user_of(user), session=session_of(row), token=token)


def end_sessions(session: Session, user_id: int) -> None:
    """End the sessions of a user, in the transaction of the caller."""
    session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))


def _end_oldest(session: Session, user_id: int) -> None:
    beyond = session.scalars(
        select(SessionRow.id)
        .where(SessionRow.user_id == user_id)
        .order_by(SessionRow.id.desc())
        .offset(MAX_SESSIONS)
        .limit(MAX_SESSIONS)
    ).all()
    if beyond:
        session.execute(delete(SessionRow).where(SessionRow.id.in_(beyond)))


def session_of(row: SessionRow) -> LoginSession:
    return LoginSession(
        id=row.id,
        user_id=row.user_id,
        agent=row.agent,
        created_at=to_s(row.created_at),
        last_seen_at=to_s(row.last_seen_at),
        expires_at=to_s(row.expires_at),
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _rows(result: object) -> int:
    assert isinstance(result, CursorResult)
    return result.rowcount
