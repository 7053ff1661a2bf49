"""Accounts: names, passwords, logins, deletion, administration."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from catalogue.tests.conftest import CHEAP, Clock
from msaas.errors import (
    InvalidFields,
    LoginFailed,
    MsaasError,
    SessionUnknown,
    TooBusy,
    UsernameTaken,
    UserNotFound,
)
from msaas.recipe import Recipe
from msaas_catalogue import Catalogue, Login
from msaas_catalogue.database import Database
from msaas_catalogue.passwords import Passwords
from msaas_catalogue.tables import UserRow

PASSWORD, OTHER = "correct horse", "battery staple"
SONG = "a" * 64


def register(catalogue: Catalogue, name: str = "ann") -> Login:
    return catalogue.accounts.register(name, password=PASSWORD, repeated=PASSWORD, agent="curl/8")


def faults(call: Callable[[], object]) -> dict[str, list[str]]:
    with pytest.raises(InvalidFields) as refused:
        call()
    assert refused.value.detail
    return refused.value.fields


def hash_of(database: Database, name: str) -> str:
    with database.reading() as session:
        return session.scalars(select(UserRow.password_hash).where(UserRow.name == name)).one()


def test_register_logs_in(catalogue: Catalogue, clock: Clock) -> None:
    login = register(catalogue, "Ann")
    assert (login.user.name, login.user.created_at, login.user.disabled_at) == ("ann", clock.now, None)
    assert (login.session.user_id, login.session.agent) == (login.user.id, "curl/8")
    assert catalogue.sessions.find(login.token).user == login.user


def test_login_opens_a_session_with_a_new_token(catalogue: Catalogue) -> None:
    first = register(catalogue)
    second = catalogue.accounts.login("ANN", password=PASSWORD)
    assert first.token != second.token
    assert second.user == first.user
    assert [each.id for each in catalogue.sessions.list_sessions(first.user.id)] == [
        second.session.id,
        first.session.id,
    ]


def test_password_is_stored_as_argon2id(catalogue: Catalogue, database: Database) -> None:
    register(catalogue)
    assert hash_of(database, "ann").startswith("$argon2id$")


@pytest.mark.parametrize("taken", ["ann", "ANN", " Ann ", "\uff41nn"])
def test_name_of_another_user_is_taken(catalogue: Catalogue, taken: str) -> None:
    register(catalogue, "ann")
    with pytest.raises(UsernameTaken) as refused:
        register(catalogue, taken)
    assert refused.value.fields == {"username": ["The username is taken."]}


@pytest.mark.parametrize("name", ["straße", "STRASSE"])
def test_case_of_a_name_is_folded(catalogue: Catalogue, name: str) -> None:
    assert register(catalogue, name).user.name == "strasse"


def test_names_that_differ_by_an_accent_are_different(catalogue: Catalogue) -> None:
    names = ["resume", "résumé", "олена", "a.b+c-d_e@f", "x" * 150]
    assert [register(catalogue, name).user.name for name in names] == names
    for name in names:
        assert catalogue.accounts.login(name, password=PASSWORD).user.name == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "The username is missing."),
        ("  ", "The username is missing."),
        ("x" * 151, "The username has more than 150 characters."),
        *(
            (name, "other characters")
            for name in ("a b", "a\0b", "a/b", "a\ud800", "<a>", "a\nb", "a\u202eb")
        ),
    ],
)
def test_username_that_breaks_a_rule_is_refused(catalogue: Catalogue, name: str, fault: str) -> None:
    [text] = faults(lambda: register(catalogue, name))["username"]
    assert fault in text


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("1234567", "The password has fewer than 8 characters."),
        ("x" * 257, "The password has more than 256 characters."),
        ("12345678\ud800", "The password has characters that are not Unicode."),
        ("long-name", "The password is the username."),
    ],
)
def test_password_that_breaks_a_rule_is_refused(catalogue: Catalogue, password: str, fault: str) -> None:
    found = faults(lambda: catalogue.accounts.register("long-name", password=password, repeated=password))
    assert found == {"password1": [fault]}


def test_every_field_that_is_wrong_is_named(catalogue: Catalogue) -> None:
    found = faults(lambda: catalogue.accounts.register("", password="short", repeated="other"))
    assert list(found) == ["username", "password1", "password2"]
    assert found["password2"] == ["The two passwords differ."]


@pytest.mark.parametrize("password", ["пароль пароль", "e\u0301" * 8, "x" * 256])
def test_password_may_have_any_characters(catalogue: Catalogue, password: str) -> None:
    catalogue.accounts.register("ann", password=password, repeated=password)
    assert catalogue.accounts.login("ann", password=password)


def test_password_is_the_same_in_each_normal_form(catalogue: Catalogue) -> None:
    decomposed, composed = "e\u0301" * 8, "\u00e9" * 8
    catalogue.accounts.register("ann", password=decomposed, repeated=decomposed)
    assert catalogue.accounts.login("ann", password=composed)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ann", OTHER),
        ("ann", PASSWORD.upper()),
        ("ann", ""),
        ("ann", "\ud800"),
        ("bob", PASSWORD),
        ("", PASSWORD),
        ("a/b", PASSWORD),
        ("off", PASSWORD),
        ("ann", PASSWORD + "x" * 10_000),
    ],
)
def test_failed_logins_have_one_answer(catalogue: Catalogue, name: str, password: str) -> None:
    register(catalogue)
    register(catalogue, "off")
    catalogue.accounts.disable("off")
    with pytest.raises(LoginFailed) as refused:
        catalogue.accounts.login(name, password=password)
    assert refused.value.detail == "The username or the password is wrong."


class CountingHasher(PasswordHasher):
    """Counts the hashes that are verified."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []

    def verify(self, hashed: str | bytes, password: str | bytes) -> bool:
        self.verified.append(hashed)
        return super().verify(hashed, password)


@pytest.mark.parametrize("name", ["ann", "off", "bob", "", "a/b"])
def test_each_failed_login_verifies_one_hash(database: Database, name: str) -> None:
    """The work takes the time: an answer tells nothing about a name."""
    hasher = CountingHasher()
    catalogue = Catalogue(database, passwords=Passwords(hasher))
    register(catalogue)
    register(catalogue, "off")
    catalogue.accounts.disable("off")
    with pytest.raises(LoginFailed):
        catalogue.accounts.login(name, password=OTHER)
    [verified] = hasher.verified
    assert hasher.check_needs_rehash(str(verified)) is False


def test_outdated_hash_is_replaced_at_login(catalogue: Catalogue, database: Database) -> None:
    register(catalogue)
    old = hash_of(database, "ann")
    stronger = Catalogue(
        database, passwords=Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    )
    stronger.accounts.login("ann", password=PASSWORD)
    new = hash_of(database, "ann")
    assert new != old
    stronger.accounts.login("ann", password=PASSWORD)
    assert hash_of(database, "ann") == new


def test_changed_password_ends_every_session_and_opens_one(catalogue: Catalogue) -> None:
    first, second = register(catalogue), catalogue.accounts.login("ann", password=PASSWORD)
    new = catalogue.accounts.change_password(first.user.id, password=PASSWORD, new=OTHER, repeated=OTHER)
    for token in (first.token, second.token):
        with pytest.raises(SessionUnknown):
            catalogue.sessions.find(token)
    assert catalogue.sessions.find(new.token).user == first.user
    with pytest.raises(LoginFailed):
        catalogue.accounts.login("ann", password=PASSWORD)
    assert catalogue.accounts.login("ann", password=OTHER)


@pytest.mark.parametrize(
    ("password", "new", "repeated", "field"),
    [
        (OTHER, OTHER, OTHER, "password"),
        (PASSWORD, "short", "short", "password1"),
        (PASSWORD, OTHER, PASSWORD, "password2"),
    ],
)
def test_password_that_is_not_changed_keeps_the_sessions(
    catalogue: Catalogue, password: str, new: str, repeated: str, field: str
) -> None:
    login = register(catalogue)
    found = faults(
        lambda: catalogue.accounts.change_password(
            login.user.id, password=password, new=new, repeated=repeated
        )
    )
    assert list(found) == [field]
    assert catalogue.sessions.find(login.token)


class Meanwhile(Passwords):
    """Does something after the first password was verified."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(CHEAP)
        self._act: Callable[[], object] | None = act

    def verify(self, password: str, *, hashed: str | None) -> bool:
        is_right = super().verify(password, hashed=hashed)
        act, self._act = self._act, None
        if act:
            act()
        return is_right


def test_login_fails_if_the_account_changes_meanwhile(catalogue: Catalogue, database: Database) -> None:
    login = register(catalogue)
    changes: list[Callable[[], object]] = [
        lambda: catalogue.accounts.disable("ann"),
        lambda: catalogue.accounts.enable("ann") or catalogue.accounts.reset_password("ann"),
    ]
    for change in changes:
        with pytest.raises(LoginFailed):
            Catalogue(database, passwords=Meanwhile(change)).accounts.login("ann", password=PASSWORD)
    assert catalogue.sessions.list_sessions(login.user.id) == []


def test_deleted_account_is_gone_with_its_sessions_and_songs(catalogue: Catalogue) -> None:
    ann, bob = register(catalogue), register(catalogue, "bob")
    for user in (ann, bob):
        catalogue.songs.add("Ours", song_hash=SONG, recipe=Recipe(), user_id=user.user.id)
    catalogue.songs.add("Mine", song_hash="b" * 64, recipe=Recipe(), user_id=ann.user.id)
    assert list(faults(lambda: catalogue.accounts.delete(ann.user.id, password=OTHER))) == ["password"]
    removed = catalogue.accounts.delete(ann.user.id, password=PASSWORD)
    assert [(each.song.title, each.left.to_song, each.left.to_job) for each in removed] == [
        ("Ours", 1, 1),
        ("Mine", 0, 0),
    ]
    for call in (
        lambda: catalogue.sessions.find(ann.token),
        lambda: catalogue.accounts.login("ann", password=PASSWORD),
        lambda: catalogue.accounts.delete(ann.user.id, password=PASSWORD),
    ):
        with pytest.raises(MsaasError):
            call()
    assert catalogue.songs.referenced_songs() == {SONG}
    assert register(catalogue).user.id > bob.user.id


def test_disabled_user_has_no_session_until_enabled(catalogue: Catalogue, clock: Clock) -> None:
    login = register(catalogue)
    catalogue.accounts.disable("Ann")
    [user] = catalogue.accounts.list_users()
    assert user.disabled_at == clock.now
    with pytest.raises(SessionUnknown):
        catalogue.sessions.find(login.token)
    catalogue.accounts.enable("ann")
    assert catalogue.accounts.login("ann", password=PASSWORD).user.disabled_at is None


def test_reset_password_replaces_the_old_one(catalogue: Catalogue) -> None:
    login = register(catalogue)
    password = catalogue.accounts.reset_password("ann")
    with pytest.raises(SessionUnknown):
        catalogue.sessions.find(login.token)
    with pytest.raises(LoginFailed):
        catalogue.accounts.login("ann", password=PASSWORD)
    assert catalogue.accounts.login("ann", password=password)
    assert len(password) == 12


def test_users_are_listed_by_name(catalogue: Catalogue) -> None:
    for name in ("bob", "élan", "ann", "zoë"):
        register(catalogue, name)
    assert [user.name for user in catalogue.accounts.list_users()] == ["ann", "bob", "zoë", "élan"]


@pytest.mark.parametrize("name", ["nobody", "", "a/b"])
def test_administration_of_an_unknown_user_fails(catalogue: Catalogue, name: str) -> None:
    for act in (catalogue.accounts.disable, catalogue.accounts.enable, catalogue.accounts.reset_password):
        with pytest.raises(UserNotFound):
            act(name)


def test_one_of_many_registrations_at_once_gets_the_name(catalogue: Catalogue) -> None:
    barrier = threading.Barrier(4)

    def try_to_register() -> str:
        barrier.wait()
        try:
            return register(catalogue).user.name
        except UsernameTaken:
            return "taken"

    with ThreadPoolExecutor(4) as pool:
        answers = [each.result() for each in [pool.submit(try_to_register) for _ in range(4)]]
    assert sorted(answers) == ["ann", "taken", "taken", "taken"]


class SlowHasher(PasswordHasher):
    """Notes how many hashes are computed at once, and lets a test end them."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.running = self.most = 0
        self.go_on = threading.Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.go_on.wait(30)
        self.running -= 1
        return super().hash(password, salt=salt)


def test_few_passwords_are_hashed_at_once() -> None:
    hasher = SlowHasher()
    passwords = Passwords(hasher, at_once=2, patience_s=0.05)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(passwords.hash, PASSWORD) for _ in range(2)]
        while hasher.running < 2:
            pass
        with pytest.raises(TooBusy, match="logins"):
            passwords.hash(PASSWORD)
        hasher.go_on.set()
        assert all(each.result().startswith("$argon2id$") for each in running)
    assert hasher.most == 2
    assert passwords.hash(PASSWORD)


def test_default_hash_has_the_parameters_of_rfc_9106() -> None:
    """Its low-memory choice: 64 MiB, 3 passes, 4 lanes."""
    assert Passwords().hash(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
