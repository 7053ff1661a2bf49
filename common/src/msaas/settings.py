"""Settings: each service reads the environment once, into one frozen object."""

import json
import re
from argparse import ArgumentParser, Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from msaas.errors import InvalidCallback, MalformedSettings, UnknownModel
from msaas.models import MODELS, parse_model
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.webhook_secrets import parse_webhook_secret
from msaas.webhooks.networks import Network, parse_networks


def _port(value: Any) -> Any:
    """Kubernetes injects `tcp://host:port` into REDIS_PORT when a Service is called `redis`."""
    match = re.fullmatch(r"tcp://.+:(\d+)", str(value))
    return int(match.group(1)) if match else value


def _model(value: Any) -> Any:
    try:
        return parse_model(str(value))
    except UnknownModel:
        raise ValueError(f"Input should be one of {', '.join(MODELS)}") from None


def _networks(value: Any) -> Any:
    return parse_networks(value) if isinstance(value, str) else value


def _signing(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        try:
            parse_webhook_secret(secret.get_secret_value())
        except InvalidCallback as error:
            raise ValueError(error.detail) from None
    return secret


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("Input should be a JSON object") from None


def _broker(addr: SecretStr) -> SecretStr:
    BrokerAddress.parse(addr.get_secret_value())
    return addr


S = TypeVar("S", bound="Settings")
Port = Annotated[int, BeforeValidator(_port), Field(ge=0, le=65535)]
#: CIDRs with commas between, `1` for every network.
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
ModelName = Annotated[str, BeforeValidator(_model)]


class Settings(BaseSettings):
    """The environment of a process. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", case_sensitive=False
    )

    log_level: Annotated[str, Field(pattern="(?i)^(debug|info|warning|error)$")] = "info"

    @classmethod
    def from_env(cls) -> Self:
        """Read the environment.

        Raises:
            MalformedSettings: naming the variable that is wrong, never its value: it may be a secret.
        """
        try:
            return cls()
        except ValidationError as error:
            problems = (
                f"{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()
            )
            raise MalformedSettings("; ".join(problems)) from None

    def describe(self) -> str:
        """Return one `NAME=value` a line, secrets masked."""
        return "\n".join(f"{name.upper()}={_shown(getattr(self, name))}" for name in type(self).model_fields)


BrokerAddr = Annotated[SecretStr, AfterValidator(_broker)]


class RedisSettings(Settings):
    """The address of Redis, and the list of log lines in it."""

    redis_host: str = "localhost"
    redis_port: Port = 6379
    redis_db: int = Field(default=0, ge=0)
    #: User of an ACL of Redis. Without a password it is not sent.
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    redis_log_key: str = "logging"


class DatabaseSettings(Settings):
    """The SQL database."""

    #: Without it there is no database. The URL may have a password.
    database_url: SecretStr | None = None


class QueueSettings(RedisSettings):
    """The job queue."""

    redis_queue_key: str = "toWorkers"


class StoreSettings(Settings):
    """The object store."""

    minio_host: str = "localhost:9000"
    minio_access_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("minio_access_key", "minio_user")
    )
    minio_secret_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("minio_secret_key", "minio_password")
    )
    minio_secure: bool = False
    minio_input_bucket: str = "input-tracks"
    minio_output_bucket: str = "output-tracks"
    #: A directory instead of an S3 store.
    store_dir: Path | None = None


class StoreUsersSettings(StoreSettings):
    """The buckets and, on MinIO, a user for each service. The Job that creates them reads it."""

    #: The store is a MinIO whose root user MINIO_ACCESS_KEY names.
    minio_users: bool = False
    store_rest_access_key: SecretStr = SecretStr("")
    store_rest_secret_key: SecretStr = SecretStr("")
    store_worker_access_key: SecretStr = SecretStr("")
    store_worker_secret_key: SecretStr = SecretStr("")
    store_keeper_access_key: SecretStr = SecretStr("")
    store_keeper_secret_key: SecretStr = SecretStr("")
    #: rest may empty the buckets.
    debug_endpoints: bool = False

    def user(self, service: str) -> tuple[str, str]:
        """Return the access key and the secret key of a service."""
        access_key, secret_key = (
            getattr(self, f"store_{service}_{kind}_key") for kind in ("access", "secret")
        )
        return access_key.get_secret_value(), secret_key.get_secret_value()


class LeaseSettings(QueueSettings):
    """The limits of a lease: read by the services that hold and reap leases."""

    lease_seconds: float = Field(default=60.0, gt=0)
    max_attempts: int = Field(default=3, ge=1)


class WebhookSettings(Settings):
    """The delivery of callbacks."""

    #: Signs callbacks as Standard Webhooks: base64, with or without `whsec_` before it.
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_signing)] = None
    #: Private networks that callbacks may reach: `1` for all of them, or CIDRs.
    callback_allow_private: Networks = ()

    @property
    def signing_secret(self) -> str | None:
        return self.webhook_secret.get_secret_value() if self.webhook_secret else None


class BrokerSettings(Settings):
    """The queue of songs in RabbitMQ."""

    #: `host:port`, or `amqp[s]://user:password@host:port/vhost`.
    broker_addr: BrokerAddr
    #: Of a `BROKER_ADDR` without them.
    broker_user: str = "guest"
    broker_password: SecretStr = SecretStr("guest")
    broker_queue: str = "vocalizer_queue"
    #: Of the queue where it does not exist yet, as JSON: `{"x-queue-type": "quorum"}`.
    broker_queue_arguments: Annotated[dict[str, bool | int | str], NoDecode, BeforeValidator(_json)] = {}


class MetricsSettings(Settings):
    """The metrics of a service without HTTP."""

    #: Port of `/metrics`; 0 serves none.
    metrics_port: Port = 0
    metrics_host: str = "0.0.0.0"  # noqa: S104 - the monitoring asks the pods


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return "" if value is None else str(value)


def load_or_exit(kind: type[S], *, program: str, description: str) -> S:
    """Read the command line and the settings at the start of a service.

    `--help`, `--version` and `--check-config` print and exit with 0, an unknown argument exits with 2,
    a wrong setting exits with 1 and a message.
    """
    parser = command_line(program, description)
    return settings_or_exit(kind, parser.parse_args())


def command_line(program: str, description: str) -> ArgumentParser:
    """Return the command line that all services share."""
    parser = ArgumentParser(
        prog=f"python -m {program}", description=description, epilog="Settings come from the environment."
    )
    parser.add_argument("--version", action="version", version=version(program.replace("_", "-")))
    parser.add_argument(
        "--check-config", action="store_true", help="print the settings, secrets masked, and exit"
    )
    return parser


def settings_or_exit(kind: type[S], options: Namespace) -> S:
    """Return the settings, or exit as `load_or_exit` does."""
    try:
        settings = kind.from_env()
    except MalformedSettings as error:
        raise SystemExit(f"{error.title} {error.detail}") from None
    if options.check_config:
        print(settings.describe())  # noqa: T201 - the output of the command
        raise SystemExit(0)
    return settings
