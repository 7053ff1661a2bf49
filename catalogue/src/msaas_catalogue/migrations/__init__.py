"""The environment and the revisions of Alembic. Make a revision as docs/catalogue.md describes."""
