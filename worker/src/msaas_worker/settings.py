"""Settings of the worker."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from msaas.models import DEFAULT_MODEL
from msaas.settings import LeaseSettings, MetricsSettings, ModelName, StoreSettings, WebhookSettings


class WorkerSettings(StoreSettings, LeaseSettings, WebhookSettings, MetricsSettings):
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
