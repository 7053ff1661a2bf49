"""Migrations: up and down with rows, from each revision, interrupted, and by several processes at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from msaas.errors import DatabaseUnavailable
from msaas.jobs import JobState
from msaas.recipe import Recipe
from msaas.separations import Separation
from msaas_catalogue import Catalogue, open_catalogue, prepare
from msaas_catalogue.database import Database
from msaas_catalogue.migrating import migrating
from msaas_catalogue.tables import Base, SeparationRow, SongRow

PASSWORD = "correct horse"
TABLES = {"users", "sessions", "songs", "separations", "outcomes"}


def revisions() -> list[str]:
    """Return all revisions, the first one first."""
    with_scripts = Config()
    with_scripts.set_main_option("script_location", "msaas_catalogue:migrations")
    found = ScriptDirectory.from_config(with_scripts).walk_revisions()
    return [each.revision for each in reversed(list(found))]


@contextmanager
def opened(url: str) -> Iterator[Catalogue]:
    catalogue = open_catalogue(url)
    yield catalogue
    catalogue.close()


def tables(url: str) -> set[str]:
    database = Database(url)
    try:
        return set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    finally:
        database.close()


def fill(catalogue: Catalogue) -> str:
    """Add a row to each table. Return the token of the session."""
    login = catalogue.accounts.register("ann", password=PASSWORD, repeated=PASSWORD)
    catalogue.songs.add("Mine", song_hash="a" * 64, recipe=Recipe(), user_id=login.user.id)
    catalogue.songs.add("Ours", song_hash="b" * 64, recipe=Recipe(), user_id=None)
    catalogue.history.add([Separation(event_id="1", job_id="a" * 64, state=JobState.DONE, finished_at=1.0)])
    return login.token


def fill_first_tables(url: str) -> str:
    """Add a row to each table of the first revision, by their columns. Return the token of the session."""
    with opened(url) as catalogue:
        login = catalogue.accounts.register("ann", password=PASSWORD, repeated=PASSWORD)
    facts = {"recipe": "{}", "created_at": 0}
    names = {"model": "", "requested_model": "", "weights_sha256": "", "device": "", "error_code": ""}
    database = Database(url)
    with database.writing() as session:
        for title, name, user_id in (("Mine", "a" * 64, login.user.id), ("Ours", "b" * 64, None)):
            row = {"title": title, "title_key": title.casefold(), "song_hash": name, "job_id": name}
            session.add(SongRow(**row, **facts, uploader_id=user_id))
        job = {"event_id": "1", "job_id": "a" * 64, "song_hash": "a" * 64, "recipe": "{}", "state": "done"}
        session.add(SeparationRow(**job, **names, attempts=1, finished_at=1000))
    database.close()
    return login.token


def check(catalogue: Catalogue, token: str) -> None:
    user = catalogue.sessions.find(token).user
    assert [song.title for song in catalogue.songs.list_page(user_id=user.id).songs] == ["Mine", "Ours"]
    assert len(catalogue.history.list_page().separations) == 1


def test_tables_go_up_down_and_up_with_rows_in_them(empty_url: str) -> None:
    assert prepare(empty_url) == revisions()[-1]
    assert tables(empty_url) == TABLES
    with opened(empty_url) as catalogue:
        token = fill(catalogue)
        assert prepare(empty_url) == revisions()[-1]
        check(catalogue, token)
    with migrating(empty_url) as config:
        command.downgrade(config, "base")
    assert tables(empty_url) == set()
    prepare(empty_url)
    with opened(empty_url) as catalogue:
        check(catalogue, fill(catalogue))


@pytest.mark.parametrize("revision", revisions())
def test_rows_survive_the_way_from_each_revision(empty_url: str, revision: str) -> None:
    """A later revision that changes a table adds its rows by statements of its own."""
    assert prepare(empty_url, revision=revision) == revision
    token = fill_first_tables(empty_url)
    assert prepare(empty_url) == revisions()[-1]
    with opened(empty_url) as catalogue:
        check(catalogue, token)


def test_migrations_make_the_tables_of_the_code(empty_url: str) -> None:
    prepare(empty_url)
    database = Database(empty_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_interrupted_migration_goes_on(empty_url: str) -> None:
    """MariaDB commits each change of a table: a killed process leaves some of them, and no revision."""
    prepare(empty_url)
    database = Database(empty_url)
    with database.writing() as session:
        session.execute(text("DELETE FROM alembic_version"))
        session.execute(text("DROP TABLE separations"))
        index = "ix_songs_song_hash"
        session.execute(text(f"DROP INDEX {index}{' ON songs' if database.kind == 'mysql' else ''}"))
    database.close()
    assert prepare(empty_url) == revisions()[-1]
    test_migrations_make_the_tables_of_the_code(empty_url)
    with opened(empty_url) as catalogue:
        check(catalogue, fill(catalogue))


@pytest.mark.process
def test_processes_that_prepare_at_once_all_succeed(empty_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": empty_url}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "msaas_catalogue", "prepare"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
        assert output == f"The database has revision {revisions()[-1]}.\n"
    with opened(empty_url) as catalogue:
        check(catalogue, fill(catalogue))


def test_database_without_tables_is_unavailable(empty_url: str) -> None:
    with opened(empty_url) as catalogue:
        for call in (catalogue.ping, catalogue.accounts.list_users, catalogue.songs.referenced_songs):
            with pytest.raises(DatabaseUnavailable, match="msaas_catalogue prepare"):
                call()
        prepare(empty_url)
        catalogue.ping()
        assert catalogue.accounts.list_users() == []


def test_folder_of_a_file_is_made(file_url: str) -> None:
    prepare(file_url)
    with opened(file_url) as catalogue:
        catalogue.ping()
        with Database(file_url).reading() as session:
            assert session.scalar(text("PRAGMA journal_mode")) == "wal"
