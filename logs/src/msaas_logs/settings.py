"""Settings of the logs service."""

from msaas.settings import RedisSettings


class LogsSettings(RedisSettings):
    """The shared settings are all it needs: the address of Redis and the name of the list."""
