"""What the logs service reads from its environment."""

from msaas.settings import Settings


class LogsSettings(Settings):
    """Where Redis is and what its list is called is all there is to know."""
