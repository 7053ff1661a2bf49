"""Settings of the keeper."""

from pydantic import Field

from msaas.settings import LeaseSettings, MetricsSettings, StoreSettings, WebhookSettings


class KeeperSettings(StoreSettings, LeaseSettings, WebhookSettings, MetricsSettings):
    #: Songs and stems older than this are deleted. Without it they stay.
    retention_hours: float | None = Field(default=None, gt=0)
