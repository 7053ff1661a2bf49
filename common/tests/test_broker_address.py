"""The address of the broker and the arguments of its queue, from settings."""

from typing import Any

import pytest

from msaas.bootstrap import broker_address
from msaas.errors import MalformedSettings
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.settings import BrokerSettings


@pytest.mark.parametrize(
    ("text", "host", "port", "vhost", "user", "password", "has_tls"),
    [
        ("broker:5673", "broker", 5673, "/", "guest", "guest", False),
        ("broker", "broker", 5672, "/", "guest", "guest", False),
        ("[::1]:5673", "::1", 5673, "/", "guest", "guest", False),
        ("amqp://ann:s%2Fcret@broker", "broker", 5672, "/", "ann", "s/cret", False),
        ("amqp://broker/", "broker", 5672, "/", "guest", "guest", False),
        ("amqps://ann:x@broker/songs", "broker", 5671, "songs", "ann", "x", True),
        ("amqp://broker:1/%2Fsongs", "broker", 1, "/songs", "guest", "guest", False),
    ],
)
def test_addresses(
    text: str, host: str, port: int, vhost: str, user: str, password: str, has_tls: bool
) -> None:
    assert BrokerAddress.parse(text) == BrokerAddress(
        host=host, port=port, vhost=vhost, user=user, password=password, has_tls=has_tls
    )


def test_user_of_the_url_has_precedence() -> None:
    address = BrokerAddress.parse("amqp://ann:a@broker", user="bob", password="b")
    assert (address.user, address.password) == ("ann", "a")
    address = BrokerAddress.parse("broker:5672", user="bob", password="b")
    assert (address.user, address.password) == ("bob", "b")


@pytest.mark.parametrize(
    "text", ["", "http://broker", "amqp://", "broker:port", "broker:99999", "amqp://u:s3cret@broker?x=1"]
)
def test_invalid_address_is_refused_and_not_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"Input should be|The port should be") as refused:
        BrokerAddress.parse(text)
    assert "s3cret" not in str(refused.value)
    monkeypatch.setenv("BROKER_ADDR", text or "amqp://")
    with pytest.raises(MalformedSettings, match="BROKER_ADDR") as malformed:
        BrokerSettings.from_env()
    assert "s3cret" not in str(malformed.value)


def test_texts_of_an_address_have_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_ADDR", "amqp://ann:s3cret@broker/songs")
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    settings = BrokerSettings.from_env()
    address = broker_address(settings)
    assert str(address) == "broker:5672"
    assert "s3cret" not in repr(address) + settings.describe() + repr(settings)
    assert address.password == "s3cret"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        (
            '{"x-queue-type": "quorum", "x-delivery-limit": 20}',
            {"x-queue-type": "quorum", "x-delivery-limit": 20},
        ),
    ],
)
def test_queue_arguments_are_json(
    text: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_ADDR", "broker:5672")
    monkeypatch.setenv("BROKER_QUEUE_ARGUMENTS", text)
    assert BrokerSettings.from_env().broker_queue_arguments == arguments


@pytest.mark.parametrize("text", ["quorum", "[1]", '{"x": {"y": 1}}', "{"])
def test_invalid_queue_arguments_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_ADDR", "broker:5672")
    monkeypatch.setenv("BROKER_QUEUE_ARGUMENTS", text)
    with pytest.raises(MalformedSettings, match="BROKER_QUEUE_ARGUMENTS"):
        BrokerSettings.from_env()
