import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from msaas.directory_store import DirectoryStore
from msaas.errors import MalformedSettings
from msaas.s3_store import S3Store
from msaas.settings import Settings, StoreSettings, load_or_exit


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*StoreSettings.model_fields, "minio_user", "minio_password"):
        monkeypatch.delenv(name.upper(), raising=False)
    return


def test_the_defaults_find_a_redis_and_a_store_on_this_machine() -> None:
    settings = StoreSettings.from_env()
    assert (settings.redis_address.host, settings.redis_address.port) == ("localhost", 6379)
    assert settings.redis_address.password is None
    assert (settings.minio_host, settings.minio_input_bucket, settings.minio_output_bucket) == (
        "localhost:9000",
        "input-tracks",
        "output-tracks",
    )
    assert (settings.redis_queue_key, settings.redis_log_key) == ("toWorkers", "logging")
    assert settings.max_upload_bytes == 100 * 1024 * 1024
    assert (settings.policy.lease_s, settings.policy.max_attempts) == (60.0, 3)


@pytest.mark.parametrize(
    "value", ["tcp://10.0.0.11:6380", "tcp://[fd00::1]:6380", "tcp://redis:6380", "6380"]
)
def test_kubernetes_may_write_a_url_into_redis_port(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REDIS_PORT", value)
    assert Settings.from_env().redis_address.port == 6380


def test_everything_of_redis_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "redis")
    monkeypatch.setenv("REDIS_DB", "3")
    monkeypatch.setenv("REDIS_PASSWORD", "hush")
    monkeypatch.setenv("REDIS_QUEUE_KEY", "others")
    settings = Settings.from_env()
    assert (settings.redis_address.host, settings.redis_address.db) == ("redis", 3)
    assert settings.redis_address.password == "hush"
    assert (settings.keys.waiting, settings.keys.dead) == ("others", "others:dead")


@pytest.mark.parametrize(
    ("user", "password"), [("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"), ("MINIO_USER", "MINIO_PASSWORD")]
)
def test_the_keys_of_the_store_have_two_names(
    monkeypatch: pytest.MonkeyPatch, user: str, password: str
) -> None:
    monkeypatch.setenv(user, "rootuser")
    monkeypatch.setenv(password, "rootpass123")
    settings = StoreSettings.from_env()
    assert settings.minio_access_key.get_secret_value() == "rootuser"
    assert settings.minio_secret_key.get_secret_value() == "rootpass123"


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "")
    monkeypatch.setenv("MINIO_HOST", "")
    settings = StoreSettings.from_env()
    assert (settings.redis_port, settings.minio_host) == (6379, "localhost:9000")


def test_a_store_in_a_directory_needs_no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(StoreSettings.from_env().tracks().store, S3Store)
    monkeypatch.setenv("STORE_DIR", str(tmp_path))
    assert isinstance(StoreSettings.from_env().tracks().store, DirectoryStore)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_PORT", "s3cret-port"),
        ("REDIS_PORT", "70000"),
        ("REDIS_PORT", "tcp://s3cret"),
        ("REDIS_DB", "-1"),
        ("LOG_LEVEL", "s3cret"),
        ("DEMUCS_MODEL", "s3cret/model"),
        ("MAX_UPLOAD_MB", "0"),
        ("MAX_ATTEMPTS", "s3cret"),
        ("LEASE_SECONDS", "0"),
        ("MINIO_SECURE", "s3cret"),
    ],
)
def test_a_wrong_value_names_the_variable_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(MalformedSettings, match=name) as refused:
        StoreSettings.from_env()
    assert "s3cret" not in str(refused.value)


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "x")
    monkeypatch.setenv("MAX_ATTEMPTS", "x")
    with pytest.raises(MalformedSettings, match=r"REDIS_PORT.*MAX_ATTEMPTS"):
        StoreSettings.from_env()


def test_settings_are_never_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.from_env().redis_host = "elsewhere"  # type: ignore[misc]


def test_check_config_prints_every_setting_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hush-hush")
    monkeypatch.setenv("MINIO_PASSWORD", "hush-hush")
    monkeypatch.setattr(sys, "argv", ["service", "--check-config"])
    with pytest.raises(SystemExit) as ended:
        load_or_exit(StoreSettings)
    assert ended.value.code == 0
    printed = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert set(printed) == {name.upper() for name in StoreSettings.model_fields}
    assert (printed["REDIS_PASSWORD"], printed["MINIO_SECRET_KEY"], printed["MINIO_ACCESS_KEY"]) == (
        "***",
        "***",
        "",
    )
    assert printed["REDIS_PORT"] == "6379"


def test_a_service_with_a_wrong_setting_ends_at_once_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "x")
    with pytest.raises(SystemExit, match="REDIS_PORT"):
        load_or_exit(Settings)


def test_a_service_with_good_settings_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["service"])
    assert load_or_exit(Settings).redis_host == "localhost"
