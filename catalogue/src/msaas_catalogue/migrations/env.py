"""Alembic runs this module for each of its commands, with the connection of `msaas_catalogue.migrating`."""

from alembic import context

from msaas_catalogue.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes a column by a new table.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
