"""Accounts: register, log in, change the password, delete, and the work of administrators."""

import secrets
import time
from collections.abc import Callable

from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from msaas.errors import InvalidFields, LoginFailed, UsernameTaken, UserNotFound
from msaas_catalogue.database import Database, is_duplicate
from msaas_catalogue.fields import to_ms
from msaas_catalogue.passwords import Passwords, find_faults
from msaas_catalogue.sessions import end_sessions, open_session
from msaas_catalogue.songs import references_left, song_of
from msaas_catalogue.tables import SongRow, UserRow
from msaas_catalogue.users import parse_username, user_of
from msaas_catalogue.values import Login, RemovedSong, User

#: 72 bits.
_NEW_PASSWORD_BYTES = 9
_TAKEN = "The username is taken."
_WRONG = "The username or the password is wrong."


class Accounts:
    """The accounts of users. Every method raises `DatabaseUnavailable`.

    Those that take a password raise `TooBusy` while too many others are hashed.
    """

    def __init__(
        self, database: Database, *, passwords: Passwords, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    def register(self, username: str, *, password: str, repeated: str, agent: str = "") -> Login:
        """Make an account and log in.

        Raises:
            InvalidFields: for `username`, `password1` or `password2`.
            UsernameTaken: another user has the name.
        """
        name = _check_new(username, password, repeated)
        with self._database.reading() as session:
            if _find(session, name):
                raise _taken()
        hashed = self._passwords.hash(password)
        now = self._clock()
        try:
            with self._database.writing() as session:
                user = UserRow(name=name, password_hash=hashed, created_at=to_ms(now))
                session.add(user)
                session.flush()
                return open_session(session, user, agent=agent, now=now)
        except DBAPIError as error:
            if is_duplicate(error):
                raise _taken() from None
            raise

    def login(self, username: str, *, password: str, agent: str = "") -> Login:
        """Open a session with a new token.

        An unknown name, a wrong password and a disabled account have the same answer after the same work.

        Raises:
            LoginFailed: the username or the password is wrong, or the account is disabled.
        """
        user = self._verify(username, password)
        hashed = user.password_hash
        new = self._passwords.hash(password) if self._passwords.is_outdated(hashed) else hashed
        with self._database.writing() as session:
            current = session.get(UserRow, user.id, with_for_update=True)
            # Meanwhile it may have another password, be disabled or be deleted.
            if current is None or current.disabled_at is not None or current.password_hash != hashed:
                raise _failed()
            current.password_hash = new
            return open_session(session, current, agent=agent, now=self._clock())

    def _verify(self, username: str, password: str) -> UserRow:
        """Return the user with this name and password. Raises `LoginFailed`."""
        try:
            name = parse_username(username)
        except ValueError:
            name = ""
        with self._database.reading() as session:
            user = _find(session, name)
        is_right = self._passwords.verify(password, hashed=user.password_hash if user else None)
        if user is None or not is_right or user.disabled_at is not None:
            raise _failed()
        return user

    def change_password(
        self, user_id: int, *, password: str, new: str, repeated: str, agent: str = ""
    ) -> Login:
        """Replace the password, end every session of the user, and open a new one.

        Raises:
            InvalidFields: for `password`, which is the present one, `password1` or `password2`.
            UserNotFound: the account was deleted.
        """
        user = self._get(user_id)
        _check(_password_faults(new, repeated, username=user.name))
        self._check_password(user, password)
        hashed = self._passwords.hash(new)
        with self._database.writing() as session:
            current = session.get(UserRow, user_id, with_for_update=True)
            if current is None:
                raise _unknown(user_id)
            if current.password_hash != user.password_hash:
                raise _wrong_password()
            current.password_hash = hashed
            end_sessions(session, user_id)
            return open_session(session, current, agent=agent, now=self._clock())

    def delete(self, user_id: int, *, password: str) -> list[RemovedSong]:
        """Delete the account with its sessions and songs. Return the songs, with the references left to each.

        Raises:
            InvalidFields: for `password`.
            UserNotFound: the account was deleted before.
        """
        self._check_password(self._get(user_id), password)
        with self._database.writing() as session:
            rows = session.scalars(select(SongRow).where(SongRow.uploader_id == user_id).order_by(SongRow.id))
            songs = [song_of(row) for row in rows]
            session.execute(delete(SongRow).where(SongRow.uploader_id == user_id))
            end_sessions(session, user_id)
            session.execute(delete(UserRow).where(UserRow.id == user_id))
            return [RemovedSong(song, left=references_left(session, song)) for song in songs]

    def _get(self, user_id: int) -> UserRow:
        with self._database.reading() as session:
            user = session.get(UserRow, user_id)
        if user is None:
            raise _unknown(user_id)
        return user

    def _check_password(self, user: UserRow, password: str) -> None:
        if not self._passwords.verify(password, hashed=user.password_hash):
            raise _wrong_password()

    # Administration

    def list_users(self) -> list[User]:
        """Return all users, by name."""
        with self._database.reading() as session:
            return [user_of(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]

    def disable(self, username: str) -> None:
        """End the sessions of a user, who cannot log in any more. Raises `UserNotFound`."""
        with self._database.writing() as session:
            user = _get_named(session, username)
            user.disabled_at = user.disabled_at or to_ms(self._clock())
            end_sessions(session, user.id)

    def enable(self, username: str) -> None:
        """Let a user log in again. Raises `UserNotFound`."""
        with self._database.writing() as session:
            _get_named(session, username).disabled_at = None

    def add(self, username: str) -> str:
        """Make an account with a random password, which is returned.

        Raises:
            InvalidFields: for `username`.
            UsernameTaken: another user has the name.
        """
        password = secrets.token_urlsafe(_NEW_PASSWORD_BYTES)
        login = self.register(username, password=password, repeated=password)
        with self._database.writing() as session:
            end_sessions(session, login.user.id)
        return password

    def reset_password(self, username: str) -> str:
        """Give a user a random password, which is returned, and end all sessions. Raises `UserNotFound`."""
        password = secrets.token_urlsafe(_NEW_PASSWORD_BYTES)
        hashed = self._passwords.hash(password)
        with self._database.writing() as session:
            user = _get_named(session, username)
            session.execute(update(UserRow).where(UserRow.id == user.id).values(password_hash=hashed))
            end_sessions(session, user.id)
        return password


def _find(session: Session, name: str) -> UserRow | None:
    return session.scalars(select(UserRow).where(UserRow.name == name)).one_or_none()


def _get_named(session: Session, username: str) -> UserRow:
    try:
        name = parse_username(username)
    except ValueError:
        name = ""
    user = session.scalars(select(UserRow).where(UserRow.name == name).with_for_update()).one_or_none()
    if user is None:
        raise UserNotFound(f"User {username[:150]!r} is unknown.")
    return user


def _check_new(username: str, password: str, repeated: str) -> str:
    """Return the name in the form that is stored. Raises `InvalidFields`."""
    faults: dict[str, list[str]] = {}
    name = ""
    try:
        name = parse_username(username)
    except ValueError as error:
        faults["username"] = [str(error)]
    _check({**faults, **_password_faults(password, repeated, username=name)})
    return name


def _password_faults(password: str, repeated: str, *, username: str) -> dict[str, list[str]]:
    faults = {"password1": find_faults(password, username=username)}
    if password != repeated:
        faults["password2"] = ["The two passwords differ."]
    return {name: texts for name, texts in faults.items() if texts}


def _check(faults: dict[str, list[str]]) -> None:
    if faults:
        raise InvalidFields(fields=faults)


def _taken() -> UsernameTaken:
    return UsernameTaken(fields={"username": [_TAKEN]})


def _failed() -> LoginFailed:
    return LoginFailed(_WRONG)


def _wrong_password() -> InvalidFields:
    return InvalidFields(fields={"password": ["The password is wrong."]})


def _unknown(user_id: int) -> UserNotFound:
    return UserNotFound(f"User {user_id} is unknown: the account was deleted.")
