"""Notes of the results of jobs. The first list of a song makes its note: no row is moved."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BYTES = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
_OPTIONS = {f"{kind}_{name}": value for kind in ("mysql", "mariadb") for name, value in _BYTES.items()}


def upgrade() -> None:
    op.create_table(
        "outcomes",
        _text("job_id", 128),
        sa.Column("is_split", sa.Boolean(), nullable=False),
        _text("model", 64),
        sa.Column("stems", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_outcomes"),
        if_not_exists=True,
        **_OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("outcomes", if_exists=True)


def _text(name: str, chars: int) -> sa.Column[str]:
    kind = sa.String(chars).with_variant(sa.String(chars, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)
