"""Users, sessions, songs, and the history of separations.

MariaDB keeps the tables of a run that was killed: the next run makes the missing ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BYTES = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
_OPTIONS = {
    "sqlite_autoincrement": True,
    **{f"{kind}_{name}": value for kind in ("mysql", "mariadb") for name, value in _BYTES.items()},
}
_INDEXES = {
    "ix_sessions_user_id": ("sessions", ["user_id"]),
    "ix_sessions_expires_at": ("sessions", ["expires_at"]),
    "ix_songs_song_hash": ("songs", ["song_hash"]),
    "ix_songs_of_uploader": ("songs", ["uploader_id", "id"]),
    "ix_songs_of_uploader_by_title": ("songs", ["uploader_id", "title_key", "id"]),
    "ix_separations_song_hash": ("separations", ["song_hash"]),
    "ix_separations_by_end": ("separations", ["finished_at", "id"]),
}


def upgrade() -> None:
    _create_users()
    _create_sessions()
    _create_songs()
    _create_separations()
    for name, (table, columns) in _INDEXES.items():
        if name not in {each["name"] for each in sa.inspect(op.get_bind()).get_indexes(table)}:
            op.create_index(name, table, columns)


def downgrade() -> None:
    for table in ("separations", "songs", "sessions", "users"):
        op.drop_table(table, if_exists=True)


def _text(name: str, chars: int) -> sa.Column[str]:
    kind = sa.String(chars).with_variant(sa.String(chars, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _key() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _create_users() -> None:
    op.create_table(
        "users",
        _key(),
        _text("name", 150),
        _text("password_hash", 255),
        _time("created_at"),
        _time("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        if_not_exists=True,
        **_OPTIONS,
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        _key(),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        _text("token_sha256", 64),
        _text("agent", 200),
        _time("created_at"),
        _time("last_seen_at"),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_sessions_user_id_users", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_sha256", name="uq_sessions_token_sha256"),
        if_not_exists=True,
        **_OPTIONS,
    )


def _create_songs() -> None:
    op.create_table(
        "songs",
        _key(),
        _text("title", 200),
        _text("title_key", 255),
        _text("song_hash", 128),
        _text("job_id", 128),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("uploader_id", sa.BigInteger(), nullable=True),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_songs"),
        sa.ForeignKeyConstraint(
            ["uploader_id"], ["users.id"], name="fk_songs_uploader_id_users", ondelete="CASCADE"
        ),
        if_not_exists=True,
        **_OPTIONS,
    )


def _create_separations() -> None:
    op.create_table(
        "separations",
        _key(),
        _text("event_id", 160),
        _text("job_id", 128),
        _text("song_hash", 128),
        sa.Column("recipe", sa.Text(), nullable=False),
        *(
            _text(name, 64)
            for name in ("model", "requested_model", "weights_sha256", "device", "state", "error_code")
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("queued_at", nullable=True),
        _time("started_at", nullable=True),
        _time("finished_at"),
        _time("audio_ms", nullable=True),
        _time("work_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_separations"),
        sa.UniqueConstraint("event_id", name="uq_separations_event_id"),
        if_not_exists=True,
        **_OPTIONS,
    )
