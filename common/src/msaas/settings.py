"""The environment is read once per service, into one frozen object that names the variable that is wrong."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from msaas.directory_store import DirectoryStore
from msaas.errors import MalformedSettings, UnknownModel
from msaas.queue import QueuePolicy
from msaas.redis_clients import RedisAddress
from msaas.redis_keys import Keys
from msaas.s3_store import READ_TIMEOUT_S
from msaas.s3_store import connect as connect_s3
from msaas.stems import DEFAULT_MODEL, MODELS, parse_model
from msaas.storage import ObjectStore
from msaas.tracks import Tracks


def _port(value: Any) -> Any:
    """Kubernetes injects `tcp://host:port` into REDIS_PORT when a Service is called `redis`."""
    match = re.fullmatch(r"tcp://.+:(\d+)", str(value))
    return int(match.group(1)) if match else value


def _model(value: Any) -> Any:
    try:
        return parse_model(str(value))
    except UnknownModel:
        raise ValueError(f"Input should be one of {', '.join(MODELS)}") from None


S = TypeVar("S", bound="Settings")
Port = Annotated[int, BeforeValidator(_port), Field(ge=0, le=65535)]
ModelName = Annotated[str, BeforeValidator(_model)]


class Settings(BaseSettings):
    """What every service reads. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", case_sensitive=False
    )

    redis_host: str = "localhost"
    redis_port: Port = 6379
    redis_db: int = Field(default=0, ge=0)
    redis_password: SecretStr | None = None
    redis_queue_key: str = "toWorkers"
    redis_log_key: str = "logging"
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

    @property
    def redis_address(self) -> RedisAddress:
        password = self.redis_password.get_secret_value() if self.redis_password else None
        return RedisAddress(self.redis_host, self.redis_port, self.redis_db, password)

    @property
    def keys(self) -> Keys:
        return Keys(waiting=self.redis_queue_key)

    def describe(self) -> str:
        """Return one `NAME=value` a line, secrets masked."""
        return "\n".join(f"{name.upper()}={_shown(getattr(self, name))}" for name in type(self).model_fields)


class StoreSettings(Settings):
    """What a service reads that queues jobs and keeps songs: `rest` and `worker`."""

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
    demucs_model: ModelName = DEFAULT_MODEL
    max_upload_mb: int = Field(default=100, ge=1)
    max_duration_s: int = Field(default=7200, ge=1)
    lease_seconds: float = Field(default=60.0, gt=0)
    max_attempts: int = Field(default=3, ge=1)

    @property
    def policy(self) -> QueuePolicy:
        return QueuePolicy(lease_s=self.lease_seconds, max_attempts=self.max_attempts)

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * 1024 * 1024

    def tracks(self, *, read_timeout_s: float = READ_TIMEOUT_S) -> Tracks:
        """Return the two buckets; nothing is sent before their first use."""
        return Tracks(self._store(read_timeout_s), self.minio_input_bucket, self.minio_output_bucket)

    def _store(self, read_timeout_s: float) -> ObjectStore:
        if self.store_dir:
            return DirectoryStore(self.store_dir)
        return connect_s3(
            self.minio_host,
            access_key=self.minio_access_key.get_secret_value(),
            secret_key=self.minio_secret_key.get_secret_value(),
            secure=self.minio_secure,
            read_timeout_s=read_timeout_s,
        )


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return "" if value is None else str(value)


def load_or_exit(kind: type[S]) -> S:
    """Read the settings at the start of a process; `--check-config` prints them and ends it."""
    try:
        settings = kind.from_env()
    except MalformedSettings as error:
        sys.exit(str(error))
    if "--check-config" in sys.argv[1:]:
        sys.stdout.write(settings.describe() + "\n")
        sys.exit(0)
    return settings
