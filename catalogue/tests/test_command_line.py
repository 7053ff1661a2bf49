"""The command line of the catalogue."""

import subprocess
import sys

import pytest

from catalogue.tests.conftest import CHEAP
from msaas.errors import LoginFailed
from msaas_catalogue import open_catalogue
from msaas_catalogue.passwords import Passwords

pytestmark = pytest.mark.process

PASSWORD = "correct horse"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "msaas_catalogue", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_users_are_administered(file_url: str) -> None:
    assert run("prepare", DATABASE_URL=file_url).stdout.startswith("The database has revision ")
    catalogue = open_catalogue(file_url, passwords=Passwords(CHEAP))
    catalogue.accounts.register("ann", password=PASSWORD, repeated=PASSWORD)
    listed = run("users", "list", DATABASE_URL=file_url)
    assert listed.stdout.split("\t")[1:] == ["ann", listed.stdout.split("\t")[2], "enabled\n"]
    assert run("users", "disable", "Ann", DATABASE_URL=file_url).stdout == "User Ann is disabled.\n"
    assert run("users", "list", DATABASE_URL=file_url).stdout.endswith("disabled\n")
    assert run("users", "enable", "ann", DATABASE_URL=file_url).returncode == 0
    reset = run("users", "reset", "ann", DATABASE_URL=file_url)
    with pytest.raises(LoginFailed):
        catalogue.accounts.login("ann", password=PASSWORD)
    assert catalogue.accounts.login("ann", password=reset.stdout.strip())


def test_user_is_added_with_a_password(file_url: str) -> None:
    run("prepare", DATABASE_URL=file_url)
    added = run("users", "add", "Ann", DATABASE_URL=file_url)
    catalogue = open_catalogue(file_url, passwords=Passwords(CHEAP))
    login = catalogue.accounts.login("ann", password=added.stdout.strip())
    assert [each.id for each in catalogue.sessions.list_sessions(login.user.id)] == [login.session.id]
    again = run("users", "add", "ann", DATABASE_URL=file_url)
    assert (again.returncode, again.stdout) == (1, "")
    assert "The username is taken." in again.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "text"),
    [
        (["prepare"], {}, 1, "DATABASE_URL is missing"),
        (["prepare"], {"DATABASE_URL": "oracle://a:secret@db/x"}, 1, "DATABASE_URL: the URL must begin with"),
        (
            ["users", "list"],
            {"DATABASE_URL": "sqlite:////nonexistent/x.db"},
            1,
            "The database is unavailable",
        ),
        (["users", "disable", "eve"], {}, 1, "DATABASE_URL is missing"),
        ([], {}, 2, "required"),
        (["users", "reset"], {}, 2, "username"),
    ],
)
def test_failure_is_one_message(
    arguments: list[str], environment: dict[str, str], code: int, text: str
) -> None:
    ended = run(*arguments, **environment)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr


def test_unknown_user_is_named(file_url: str) -> None:
    run("prepare", DATABASE_URL=file_url)
    ended = run("users", "disable", "eve", DATABASE_URL=file_url)
    assert (ended.returncode, ended.stderr) == (1, "User 'eve' is unknown.\n")


def test_settings_are_printed_with_the_url_masked() -> None:
    ended = run("--check-config", DATABASE_URL="mysql://a:secret@db/x")
    assert (ended.returncode, ended.stdout) == (0, "LOG_LEVEL=info\nDATABASE_URL=***\n")
