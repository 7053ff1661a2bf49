"""The tables. Times are UTC in epoch milliseconds, because SQLite and MariaDB lose time zones.

Texts compare by their bytes on each server, so that orders and cursors agree. Names are stored case-folded.
"""

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Names of constraints, so that a migration can drop them.
NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
USERNAME_CHARS, TITLE_CHARS, TITLE_KEY_CHARS, AGENT_CHARS = 150, 200, 255, 200
ID_CHARS, EVENT_ID_CHARS, NAME_CHARS = 128, 160, 64
#: A number that is never given twice, also after the row was deleted.
_KEY = BigInteger().with_variant(Integer(), "sqlite")
_BYTES = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
_SERVER_OPTIONS = {f"{kind}_{name}": value for kind in ("mysql", "mariadb") for name, value in _BYTES.items()}
#: Options of every table with numbers for keys.
TABLE_OPTIONS = {"sqlite_autoincrement": True, **_SERVER_OPTIONS}


def _text(chars: int) -> String:
    return String(chars).with_variant(String(chars, collation="C"), "postgresql")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class UserRow(Base):
    __tablename__ = "users"
    __table_args__ = (TABLE_OPTIONS,)

    id: Mapped[int] = mapped_column(_KEY, primary_key=True)
    name: Mapped[str] = mapped_column(_text(USERNAME_CHARS), unique=True)
    password_hash: Mapped[str] = mapped_column(_text(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    disabled_at: Mapped[int | None] = mapped_column(BigInteger)


class SessionRow(Base):
    __tablename__ = "sessions"
    __table_args__ = (TABLE_OPTIONS,)

    id: Mapped[int] = mapped_column(_KEY, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(_text(64), unique=True)
    agent: Mapped[str] = mapped_column(_text(AGENT_CHARS))
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_seen_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class SongRow(Base):
    """An upload. One of a user who was deleted must not become anonymous: it is deleted, too."""

    __tablename__ = "songs"
    __table_args__ = (
        Index("ix_songs_of_uploader", "uploader_id", "id"),
        Index("ix_songs_of_uploader_by_title", "uploader_id", "title_key", "id"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(_KEY, primary_key=True)
    title: Mapped[str] = mapped_column(_text(TITLE_CHARS))
    #: The title in the form that searches and orders use.
    title_key: Mapped[str] = mapped_column(_text(TITLE_KEY_CHARS))
    song_hash: Mapped[str] = mapped_column(_text(ID_CHARS), index=True)
    job_id: Mapped[str] = mapped_column(_text(ID_CHARS))
    recipe: Mapped[str] = mapped_column(Text)
    uploader_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[int] = mapped_column(BigInteger)


class SeparationRow(Base):
    """A separation that has ended. It refers to no other row: its song may come from any API."""

    __tablename__ = "separations"
    __table_args__ = (
        Index("ix_separations_by_end", "finished_at", "id"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(_KEY, primary_key=True)
    event_id: Mapped[str] = mapped_column(_text(EVENT_ID_CHARS), unique=True)
    job_id: Mapped[str] = mapped_column(_text(ID_CHARS))
    song_hash: Mapped[str] = mapped_column(_text(ID_CHARS), index=True)
    recipe: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(_text(NAME_CHARS))
    requested_model: Mapped[str] = mapped_column(_text(NAME_CHARS))
    weights_sha256: Mapped[str] = mapped_column(_text(NAME_CHARS))
    device: Mapped[str] = mapped_column(_text(NAME_CHARS))
    state: Mapped[str] = mapped_column(_text(NAME_CHARS))
    error_code: Mapped[str] = mapped_column(_text(NAME_CHARS))
    attempts: Mapped[int] = mapped_column(Integer)
    queued_at: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int] = mapped_column(BigInteger)
    audio_ms: Mapped[int | None] = mapped_column(BigInteger)
    work_ms: Mapped[int | None] = mapped_column(BigInteger)


class OutcomeRow(Base):
    """The result of a job in the store. It refers to no other row: several uploads may have the job."""

    __tablename__ = "outcomes"
    __table_args__ = (_SERVER_OPTIONS,)

    job_id: Mapped[str] = mapped_column(_text(ID_CHARS), primary_key=True)
    is_split: Mapped[bool] = mapped_column(Boolean)
    model: Mapped[str] = mapped_column(_text(NAME_CHARS))
    stems: Mapped[str] = mapped_column(Text)
