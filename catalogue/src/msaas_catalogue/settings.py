"""Settings of the command line."""

from msaas.settings import DatabaseSettings


class CatalogueSettings(DatabaseSettings):
    """The address of the database, which the command needs."""
