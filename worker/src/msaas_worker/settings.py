"""Settings of the worker: of one that takes jobs from Redis, and of one that takes songs from a broker."""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from msaas.models import DEFAULT_MODEL, FOUR_STEMS, MODELS
from msaas.settings import (
    BrokerSettings,
    LeaseSettings,
    MetricsSettings,
    ModelName,
    Settings,
    StoreSettings,
    WebhookSettings,
)


class SeparationSettings(Settings):
    """The model, and the limits of a song."""

    demucs_model: ModelName = DEFAULT_MODEL
    #: A folder with `<name>.yaml` beside the weights, searched before the hub.
    model_repo: Path | None = None
    #: The model that runs when another one is not found: none, or the small model of this package.
    model_fallback: Literal["", "starter"] = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "exact", "fast"] = "auto"
    max_duration_s: int = Field(default=7200, ge=1)
    #: On SIGTERM a job that needs no longer than this is finished, any other is given back.
    drain_seconds: float = Field(default=0.0, ge=0)


class WorkerSettings(StoreSettings, LeaseSettings, WebhookSettings, MetricsSettings, SeparationSettings):
    """A worker with Redis and a store."""


def _backend(addr: SecretStr) -> SecretStr:
    url = urlsplit(addr.get_secret_value())
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ValueError("Input should be http[s]://[user:token@]host[:port][/path]")
    return addr


class BrokerWorkerSettings(BrokerSettings, MetricsSettings, SeparationSettings):
    """A worker that holds no state: songs come from a broker, results go to a backend."""

    #: The songs API, with a user and a token or without.
    backend_addr: Annotated[SecretStr, AfterValidator(_backend)]
    #: Sent as a Bearer. Without it the user and the token of `BACKEND_ADDR` are sent.
    worker_token: SecretStr | None = None
    max_attempts: int = Field(default=3, ge=1)
    #: Interval at which a worker takes its song anew: the broker takes back what it waits for too long.
    broker_hold_seconds: float = Field(default=600.0, gt=0)

    @field_validator("demucs_model")
    @classmethod
    def _check_stems(cls, model: str) -> str:
        """The archive of a result has four stems."""
        if MODELS[model].stems != FOUR_STEMS:
            known = ", ".join(name for name, row in MODELS.items() if row.stems == FOUR_STEMS)
            raise ValueError(f"With BROKER_ADDR the model should have four stems: {known}")
        return model


def settings_kind() -> type[WorkerSettings] | type[BrokerWorkerSettings]:
    """Return the settings that this environment selects: `BROKER_ADDR` decides."""
    return BrokerWorkerSettings if os.environ.get("BROKER_ADDR") else WorkerSettings
