"""Settings of the keeper."""

from pydantic import Field

from msaas.settings import DatabaseSettings, LeaseSettings, MetricsSettings, StoreSettings, WebhookSettings


class KeeperSettings(StoreSettings, LeaseSettings, WebhookSettings, MetricsSettings, DatabaseSettings):
    #: Songs and stems older than this are deleted. Without it they stay.
    retention_hours: float | None = Field(default=None, gt=0)
