"""The settings of a worker."""

import ipaddress

import pytest

from msaas.errors import MalformedSettings
from msaas_worker.settings import WorkerSettings


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> WorkerSettings:
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return WorkerSettings.from_env()


def test_defaults_are_those_of_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch)
    assert (settings.demucs_model, settings.model_repo, settings.model_fallback) == ("htdemucs", None, "")
    assert (settings.device, settings.precision, settings.drain_seconds) == ("auto", "auto", 0)
    assert settings.callback_allow_private == ()
    assert settings.metrics_port == 0


@pytest.mark.parametrize(
    ("text", "address", "allowed"),
    [
        ("1", "10.0.0.1", True),
        ("1", "fd00::1", True),
        ("0", "10.0.0.1", False),
        ("10.0.0.0/8, 192.168.0.0/16", "192.168.3.4", True),
        ("10.0.0.0/8, 192.168.0.0/16", "172.16.0.1", False),
    ],
)
def test_private_networks_are_all_or_none_or_a_list(
    text: str, address: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = read(monkeypatch, CALLBACK_ALLOW_PRIVATE=text).callback_allow_private
    assert any(ipaddress.ip_address(address) in network for network in networks) is allowed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEMUCS_MODEL", "somebody/model"),
        ("DEVICE", "tpu"),
        ("PRECISION", "roughly"),
        ("MODEL_FALLBACK", "mdx"),
        ("DRAIN_SECONDS", "-1"),
        ("CALLBACK_ALLOW_PRIVATE", "everything"),
        ("REDIS_PORT", "redis"),
        ("LEASE_SECONDS", "0"),
    ],
)
def test_invalid_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MalformedSettings, match=name):
        read(monkeypatch, **{name: value})


def test_description_has_every_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, MINIO_SECRET_KEY="hidden", MODEL_FALLBACK="starter")
    lines = dict(line.split("=", 1) for line in settings.describe().splitlines())
    assert set(lines) == {name.upper() for name in WorkerSettings.model_fields}
    assert (lines["MODEL_FALLBACK"], lines["MINIO_SECRET_KEY"]) == ("starter", "***")
