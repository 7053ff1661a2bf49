"""Values that the catalogue takes and returns. Times are Unix seconds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msaas.jobs import JobState
from msaas.separations import Separation

#: The orders of a list of songs: by the time of the upload, or by title. `-` is the reverse.
SORTS = ("created", "-created", "title", "-title")


@dataclass(frozen=True, kw_only=True)
class User:
    """`name` is case-folded. A user who is disabled cannot log in and has no sessions."""

    id: int
    name: str
    created_at: float
    disabled_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class LoginSession:
    """A session of a user. `agent` is the program that opened it, by its own account."""

    id: int
    user_id: int
    agent: str
    created_at: float
    last_seen_at: float
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class Login:
    """A session that was opened. Its token is known to the client only: the database has a hash of it."""

    user: User
    session: LoginSession
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Song:
    """An upload. `uploader_id` is None for an anonymous one. `recipe` is the canonical JSON of its recipe."""

    id: int
    title: str
    song_hash: str
    job_id: str
    recipe: str
    uploader_id: int | None
    created_at: float

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the recipe. A newer version may have written some that are unknown here."""
        found: dict[str, Any] = json.loads(self.recipe)
        return found


@dataclass(frozen=True, kw_only=True)
class SongQuery:
    """`search` is a part of a title, `cursor` the `next` of another page. Without `limit` a page has all."""

    search: str = ""
    sort: str = SORTS[0]
    cursor: str = ""
    limit: int | None = None


@dataclass(frozen=True)
class SongPage:
    """`next` is empty on the last page."""

    songs: tuple[Song, ...]
    next: str = ""


@dataclass(frozen=True, kw_only=True)
class References:
    """Numbers of uploads that refer to a hash, and of those that refer to a job on it."""

    to_song: int
    to_job: int


@dataclass(frozen=True)
class RemovedSong:
    """A song that was removed from the catalogue, with the references that are left."""

    song: Song
    left: References


@dataclass(frozen=True, kw_only=True)
class HistoryQuery:
    """Filters of the history: empty ones admit all. `since` and `until` bound the time of the end.

    `song_hash` admits the separations of a song, `job_id` those of a job. `cursor` is the `next` of another
    page.
    """

    states: frozenset[JobState] = frozenset()
    model: str = ""
    song_hash: str = ""
    job_id: str = ""
    since: float | None = None
    until: float | None = None
    cursor: str = ""
    limit: int = 20


@dataclass(frozen=True)
class HistoryPage:
    """Separations, the latest end first. `next` is empty on the last page."""

    separations: tuple[Separation, ...]
    next: str = ""
