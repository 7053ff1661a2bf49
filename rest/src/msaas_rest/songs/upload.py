"""Upload of a song: its row in the catalogue comes first, then the store, then the queue."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from msaas.errors import Unavailable
from msaas.logs import get_logger
from msaas.queue.song_registry import SongRegistry
from msaas.recipe import Recipe
from msaas.removal import Removal
from msaas_rest.api.separate.song_check import read_title
from msaas_rest.api.separate.submission import Checked, Submission
from msaas_rest.songs.ids import request_id_of
from msaas_rest.songs.sending import Sender
from msaas_rest.songs.visitor import Visitor

if TYPE_CHECKING:
    from msaas_catalogue import Song

_UNTITLED = "Untitled"
#: Characters of a title that is taken from the tags or from the name of the file.
_MAX_TITLE = 200

log = get_logger()


class Songs(Protocol):
    """The uploads in the database. Every method raises `DatabaseUnavailable`."""

    def add(
        self, title: str, *, song_hash: str, recipe: Recipe, user_id: int | None, max_songs: int | None = None
    ) -> "Song":
        """Raises `InvalidFields` for `title`, and `SongLimitReached`."""

    def check_limit(self, *, user_id: int | None, max_songs: int) -> None:
        """Raises `SongLimitReached`."""

    def remove(self, song_id: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A song as a client sends it. `title` may be empty. `options` are those of the recipe."""

    song: BinaryIO
    size_bytes: int
    file_name: str
    title: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Uploader:
    """`songs` and `removal` open the database when they are called."""

    sender: Sender
    registry: SongRegistry
    songs: Callable[[], Songs]
    removal: Callable[[], Removal]
    #: Songs of an account, and those of all anonymous clients together.
    max_songs: int | None = None

    def check_room(self, visitor: Visitor) -> None:
        """Refuse a song that could not be sent, before its upload. `upload` checks again.

        Raises:
            SongLimitReached: the visitor has as many songs as allowed.
            Unavailable: a dependency does not answer, or is full.
        """
        if self.max_songs is not None:
            self.songs().check_limit(user_id=visitor.user_id, max_songs=self.max_songs)
        self.sender.check_room()

    def upload(self, upload: Upload, *, visitor: Visitor) -> "Song":
        """Return the song of the catalogue. A failure leaves no part of it behind.

        Raises:
            InvalidFields: for `title`.
            SongLimitReached: the visitor has as many songs as allowed.
            UnknownOption, InvalidOption, UnknownModel, UnknownStem, UnknownFormat: the recipe is invalid.
            NotAudio, SongTooLong, SongTooLarge, DecoderMissing, FormatUnavailable: the song is refused.
            Unavailable: a dependency does not answer, or is full.
        """
        recipe = Recipe.parse(upload.options, default_model=self.sender.default_model)
        draft = Submission(song=upload.song, size_bytes=upload.size_bytes, recipe=recipe)
        checked = self.sender.check(draft)
        songs = self.songs()
        # Before the row: restored later, the song would be private although the machine API may know it.
        self.registry.ensure_private_marks()
        song = songs.add(
            _title(upload, checked),
            song_hash=checked.song_hash,
            recipe=recipe,
            user_id=visitor.user_id,
            max_songs=self.max_songs,
        )
        submission = Submission(
            song=upload.song,
            size_bytes=upload.size_bytes,
            recipe=recipe,
            request_id=request_id_of(song.id),
            trace_id=request_id_of(song.id),
            owner=visitor.owner,
            visibility=visitor.visibility,
        )
        try:
            self.sender.send(submission, checked)
        except Exception:
            self._undo(songs, song)
            raise
        log.info("song_uploaded", song_id=song.id)
        return song

    def _undo(self, songs: Songs, song: "Song") -> None:
        """Without its row nothing refers to the song. One that only this upload brought is removed, too."""
        with suppress(Unavailable):
            songs.remove(song.id)
            self.removal().remove(song.song_hash, job_ids=[song.job_id])


def _title(upload: Upload, checked: Checked) -> str:
    """Return the title of the request, of the tags, or of the file's name."""
    if upload.title.strip():
        return upload.title
    tagged = read_title(upload.song, checked.song.container)
    named = PurePosixPath(upload.file_name).stem
    for text in (tagged, named):
        shown = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        if shown:
            return shown[:_MAX_TITLE].strip()
    return _UNTITLED
