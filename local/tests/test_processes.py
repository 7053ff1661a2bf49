"""The processes of the stack, and the environment they get."""

import shlex
from pathlib import Path

import pytest

from msaas_local.ports import free_port
from msaas_local.processes import (
    Connection,
    Process,
    choose_connection,
    list_processes,
    prepare_database,
)
from msaas_local.settings import LocalSettings


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "REDIS_HOST",
        "REDIS_PASSWORD",
        "MINIO_HOST",
        "STORE_DIR",
        "DATABASE_URL",
        "MODEL_FALLBACK",
        "WORKERS",
        "METRICS_PORT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MSAAS_HOME", str(tmp_path / "my home"))
    monkeypatch.setenv("REDIS_PORT", str(free_port()))


def processes() -> dict[str, Process]:
    settings = LocalSettings.from_env()
    return {process.name: process for process in list_processes(settings, choose_connection(settings))}


def test_every_service_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "2")
    assert list(processes()) == ["redis", "logs", "rest", "keeper", "worker-1", "worker-2"]


def test_services_share_queue_and_store(tmp_path: Path) -> None:
    settings = LocalSettings.from_env()
    for name in ("rest", "keeper", "worker-1"):
        env = processes()[name].env
        assert (env["REDIS_HOST"], env["REDIS_PORT"]) == ("127.0.0.1", str(settings.redis_port))
        assert env["STORE_DIR"] == str(tmp_path / "my home" / "store")


def test_rest_and_keeper_alone_know_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'my home' / 'catalogue.db'}", "mysql://a:secret@db/msaas"):
        urls = {name: process.env.get("DATABASE_URL") for name, process in processes().items()}
        assert urls == {"redis": None, "logs": "", "rest": url, "keeper": url, "worker-1": ""}
        monkeypatch.setenv("DATABASE_URL", "mysql://a:secret@db/msaas")


def test_database_is_prepared(tmp_path: Path) -> None:
    prepare_database(choose_connection(LocalSettings.from_env()))
    assert (tmp_path / "my home" / "catalogue.db").stat().st_size > 0


def test_database_that_cannot_be_used_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://a:secret@127.0.0.1:1/msaas")
    with pytest.raises(SystemExit, match="The database is unavailable") as ended:
        prepare_database(choose_connection(LocalSettings.from_env()))
    assert "secret" not in str(ended.value)


def test_own_servers_replace_those_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "queue.example")
    monkeypatch.setenv("REDIS_PORT", "7000")
    monkeypatch.setenv("MINIO_HOST", "store.example:9000")
    assert "redis" not in processes()
    env = processes()["rest"].env
    assert (env["REDIS_HOST"], env["REDIS_PORT"]) == ("queue.example", "7000")
    assert "STORE_DIR" not in env


def test_starter_is_the_fallback_unless_the_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes()["worker-1"].env["MODEL_FALLBACK"] == "starter"
    monkeypatch.setenv("MODEL_FALLBACK", "")
    assert processes()["worker-1"].env["MODEL_FALLBACK"] == ""


def test_password_of_another_queue_is_not_sent_to_the_queue_of_the_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "of the cluster")
    assert processes()["rest"].env["REDIS_PASSWORD"] == ""
    monkeypatch.setenv("REDIS_HOST", "queue.example")
    assert "REDIS_PASSWORD" not in processes()["rest"].env


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OMP_NUM_THREADS" not in processes()["worker-1"].env
    monkeypatch.setenv("WORKERS", "200")
    assert processes()["worker-200"].env["OMP_NUM_THREADS"] == "1"


def test_each_process_has_its_own_port_of_metrics_on_the_host_of_the_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKERS", "2")
    assert "METRICS_PORT" not in processes()["worker-1"].env
    monkeypatch.setenv("METRICS_PORT", "9100")
    found = processes()
    envs = [found[name].env for name in ("keeper", "worker-1", "worker-2")]
    assert [env["METRICS_PORT"] for env in envs] == ["9100", "9101", "9102"]
    assert {env["METRICS_HOST"] for env in envs} == {"127.0.0.1"}


def test_connection_is_a_shell_command_with_quotes_where_needed() -> None:
    connection = Connection(queue={"REDIS_PORT": "41233"}, store={"STORE_DIR": "/my home/store"})
    assert connection.assignments() == "REDIS_PORT=41233 STORE_DIR='/my home/store'"
    assert shlex.split(connection.assignments()) == ["REDIS_PORT=41233", "STORE_DIR=/my home/store"]
