"""Settings: the environment, the command line and the adapters they open."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from msaas.bootstrap import open_song_store, queue_policy, redis_address, redis_keys
from msaas.errors import MalformedSettings
from msaas.settings import (
    LeaseSettings,
    MetricsSettings,
    RedisSettings,
    Settings,
    StoreSettings,
    WebhookSettings,
    load_or_exit,
)
from msaas.storage.directory import DirectoryStore
from msaas.storage.s3 import S3Store


class EverySetting(StoreSettings, LeaseSettings, WebhookSettings, MetricsSettings):
    """All settings that services share."""


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*EverySetting.model_fields, "minio_user", "minio_password"):
        monkeypatch.delenv(name.upper(), raising=False)
    return


def load(kind: type[Settings]) -> Settings:
    return load_or_exit(kind, program="msaas", description="A service.")


def test_defaults_find_redis_and_store_on_this_machine() -> None:
    settings = EverySetting.from_env()
    address = redis_address(settings)
    assert (address.host, address.port, address.password) == ("localhost", 6379, None)
    assert (settings.minio_host, settings.minio_input_bucket, settings.minio_output_bucket) == (
        "localhost:9000",
        "input-tracks",
        "output-tracks",
    )
    assert (settings.redis_queue_key, settings.redis_log_key) == ("toWorkers", "logging")
    assert (queue_policy(settings).lease_s, queue_policy(settings).max_attempts) == (60.0, 3)


@pytest.mark.parametrize(
    "value", ["tcp://10.0.0.11:6380", "tcp://[fd00::1]:6380", "tcp://redis:6380", "6380"]
)
def test_redis_port_accepts_the_url_of_kubernetes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REDIS_PORT", value)
    assert redis_address(RedisSettings.from_env()).port == 6380


def test_redis_settings_reach_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "redis")
    monkeypatch.setenv("REDIS_DB", "3")
    monkeypatch.setenv("REDIS_PASSWORD", "hush")
    monkeypatch.setenv("REDIS_QUEUE_KEY", "others")
    settings = EverySetting.from_env()
    address, keys = redis_address(settings), redis_keys(settings)
    assert (address.host, address.db, address.password) == ("redis", 3, "hush")
    assert (keys.waiting, keys.dead) == ("others", "others:dead")


@pytest.mark.parametrize(
    ("user", "password"), [("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"), ("MINIO_USER", "MINIO_PASSWORD")]
)
def test_store_keys_have_two_names(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    monkeypatch.setenv(user, "rootuser")
    monkeypatch.setenv(password, "rootpass123")
    settings = StoreSettings.from_env()
    assert settings.minio_access_key.get_secret_value() == "rootuser"
    assert settings.minio_secret_key.get_secret_value() == "rootpass123"


def test_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "")
    monkeypatch.setenv("MINIO_HOST", "")
    settings = EverySetting.from_env()
    assert (settings.redis_port, settings.minio_host) == (6379, "localhost:9000")


def test_store_dir_replaces_the_s3_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(open_song_store(StoreSettings.from_env()).store, S3Store)
    monkeypatch.setenv("STORE_DIR", str(tmp_path))
    assert isinstance(open_song_store(StoreSettings.from_env()).store, DirectoryStore)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_PORT", "s3cret-port"),
        ("REDIS_PORT", "70000"),
        ("REDIS_PORT", "tcp://s3cret"),
        ("REDIS_DB", "-1"),
        ("LOG_LEVEL", "s3cret"),
        ("METRICS_PORT", "s3cret"),
        ("MAX_ATTEMPTS", "s3cret"),
        ("LEASE_SECONDS", "0"),
        ("MINIO_SECURE", "s3cret"),
        ("WEBHOOK_SECRET", "s3cret"),
        ("CALLBACK_ALLOW_PRIVATE", "s3cret/8"),
    ],
)
def test_invalid_value_names_its_variable_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(MalformedSettings, match=name) as refused:
        EverySetting.from_env()
    assert "s3cret" not in str(refused.value)


def test_every_invalid_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "x")
    monkeypatch.setenv("MAX_ATTEMPTS", "x")
    with pytest.raises(MalformedSettings, match=r"REDIS_PORT.*MAX_ATTEMPTS"):
        EverySetting.from_env()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RedisSettings.from_env().redis_host = "elsewhere"


def test_check_config_prints_every_setting_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hush-hush")
    monkeypatch.setenv("MINIO_PASSWORD", "hush-hush")
    monkeypatch.setattr(sys, "argv", ["service", "--check-config"])
    with pytest.raises(SystemExit) as ended:
        load(EverySetting)
    assert ended.value.code == 0
    printed = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert set(printed) == {name.upper() for name in EverySetting.model_fields}
    assert (printed["REDIS_PASSWORD"], printed["MINIO_SECRET_KEY"], printed["MINIO_ACCESS_KEY"]) == (
        "***",
        "***",
        "",
    )
    assert printed["REDIS_PORT"] == "6379"


@pytest.mark.parametrize(
    ("argument", "code", "text"),
    [("--help", 0, "usage:"), ("--version", 0, "."), ("--chekc-config", 2, "--chekc-config")],
)
def test_command_line_is_answered_without_a_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argument: str,
    code: int,
    text: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["service", argument])
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == code
    assert text in "".join(capsys.readouterr())


def test_service_with_an_invalid_setting_exits_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["service"])
    monkeypatch.setenv("REDIS_PORT", "x")
    with pytest.raises(SystemExit, match="REDIS_PORT"):
        load(RedisSettings)


def test_service_with_valid_settings_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["service"])
    settings = load(RedisSettings)
    assert isinstance(settings, RedisSettings)
    assert settings.redis_host == "localhost"
