"""Sessions: tokens, their end, their list."""

import hashlib

import pytest
from sqlalchemy import select

from catalogue.tests.conftest import Clock
from msaas.errors import SessionNotFound, SessionUnknown
from msaas_catalogue import Catalogue, Login
from msaas_catalogue.database import Database
from msaas_catalogue.sessions import MAX_SESSIONS, SESSION_S
from msaas_catalogue.tables import SessionRow

PASSWORD = "correct horse"


@pytest.fixture
def ann(catalogue: Catalogue) -> Login:
    return catalogue.accounts.register("ann", password=PASSWORD, repeated=PASSWORD, agent="curl/8")


@pytest.fixture
def bob(catalogue: Catalogue) -> Login:
    return catalogue.accounts.register("bob", password=PASSWORD, repeated=PASSWORD)


def test_database_has_the_hash_of_a_token_only(catalogue: Catalogue, database: Database, ann: Login) -> None:
    with database.reading() as session:
        [row] = session.scalars(select(SessionRow)).all()
    assert row.token_sha256 == hashlib.sha256(ann.token.encode()).hexdigest()
    assert len(ann.token) == 43
    assert ann.token not in repr(ann)


@pytest.mark.parametrize("token", ["", "x", "\ud800", "x" * 100_000])
def test_unknown_token_has_no_session(catalogue: Catalogue, ann: Login, token: str) -> None:
    with pytest.raises(SessionUnknown, match="Log in again"):
        catalogue.sessions.find(token)


def test_session_ends_after_its_time(catalogue: Catalogue, clock: Clock, ann: Login) -> None:
    assert ann.session.expires_at == clock.now + SESSION_S
    clock.now += SESSION_S - 1
    assert catalogue.sessions.find(ann.token)
    clock.now += 1
    with pytest.raises(SessionUnknown):
        catalogue.sessions.find(ann.token)
    assert catalogue.sessions.list_sessions(ann.user.id) == []


def test_last_use_is_noted_once_a_minute(catalogue: Catalogue, clock: Clock, ann: Login) -> None:
    opened = clock.now
    for seconds, seen in ((59, opened), (60, opened + 60), (90, opened + 60)):
        clock.now = opened + seconds
        assert catalogue.sessions.find(ann.token).session.last_seen_at == seen
        assert catalogue.sessions.list_sessions(ann.user.id)[0].last_seen_at == seen


def test_logout_ends_one_session(catalogue: Catalogue, ann: Login) -> None:
    other = catalogue.accounts.login("ann", password=PASSWORD)
    catalogue.sessions.end(ann.token)
    catalogue.sessions.end(ann.token)
    with pytest.raises(SessionUnknown):
        catalogue.sessions.find(ann.token)
    assert catalogue.sessions.find(other.token)


def test_user_revokes_own_sessions_only(catalogue: Catalogue, ann: Login, bob: Login) -> None:
    for session_id in (bob.session.id, 0, -1, 2**70):
        with pytest.raises(SessionNotFound):
            catalogue.sessions.revoke(session_id, user_id=ann.user.id)
    assert catalogue.sessions.find(bob.token)
    catalogue.sessions.revoke(ann.session.id, user_id=ann.user.id)
    with pytest.raises(SessionUnknown):
        catalogue.sessions.find(ann.token)


def test_user_revokes_all_other_sessions(catalogue: Catalogue, ann: Login, bob: Login) -> None:
    others = [catalogue.accounts.login("ann", password=PASSWORD) for _ in range(2)]
    assert catalogue.sessions.revoke_others(user_id=ann.user.id, keep=ann.session.id) == 2
    assert [each.id for each in catalogue.sessions.list_sessions(ann.user.id)] == [ann.session.id]
    assert catalogue.sessions.find(bob.token)
    for other in others:
        with pytest.raises(SessionUnknown):
            catalogue.sessions.find(other.token)


def test_oldest_sessions_end_beyond_the_limit(catalogue: Catalogue, ann: Login, bob: Login) -> None:
    for _ in range(MAX_SESSIONS):
        latest = catalogue.accounts.login("ann", password=PASSWORD)
    sessions = catalogue.sessions.list_sessions(ann.user.id)
    assert len(sessions) == MAX_SESSIONS
    assert sessions[0] == latest.session
    assert ann.session.id not in {each.id for each in sessions}
    assert catalogue.sessions.find(bob.token)


def test_rows_of_ended_sessions_are_removed(catalogue: Catalogue, clock: Clock, ann: Login) -> None:
    assert catalogue.sessions.remove_expired() == 0
    clock.now += SESSION_S
    later = catalogue.accounts.login("ann", password=PASSWORD)
    assert catalogue.sessions.remove_expired() == 1
    assert catalogue.sessions.find(later.token)


@pytest.mark.parametrize(
    ("agent", "stored"),
    [
        ("Mozilla/5.0\0\r\nX: y", "Mozilla/5.0 X: y"),
        ("\ud800", ""),
        ("é" * 300, "é" * 200),
        ("𝄞" * 300, "𝄞" * 200),
    ],
)
def test_agent_is_one_line_of_limited_length(
    catalogue: Catalogue, ann: Login, agent: str, stored: str
) -> None:
    login = catalogue.accounts.login("ann", password=PASSWORD, agent=agent)
    assert catalogue.sessions.find(login.token).session.agent == stored
