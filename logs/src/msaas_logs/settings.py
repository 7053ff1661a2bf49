"""Settings of the logs service."""

from msaas.settings import Settings


class LogsSettings(Settings):
    """The shared settings are all it needs: the address of Redis and the name of the list."""
