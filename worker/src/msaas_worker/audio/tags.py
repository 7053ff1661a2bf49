"""Title, artist, album and cover of a song, as the writers of stems take them."""

from dataclasses import dataclass, replace
from typing import Self

#: Characters of a text. Longer ones are cut.
_MAX_TEXT = 500
#: A larger cover is left out: it stands at the beginning of each stem.
_MAX_COVER_BYTES = 500_000
#: The first bytes of the kinds of images that players show.
_IMAGES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


@dataclass(frozen=True)
class Cover:
    """An image. `media_type` is `image/jpeg` or `image/png`."""

    data: bytes
    media_type: str

    @classmethod
    def recognise(cls, data: bytes) -> Self | None:
        """Return the cover in these bytes, None if they are too many or are of another kind."""
        if len(data) > _MAX_COVER_BYTES:
            return None
        kinds = [media_type for media_type, start in _IMAGES.items() if data.startswith(start)]
        return cls(data, kinds[0]) if kinds else None


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Tags of an uploaded file, which may hold anything. Writers take those of `of_stem`. Empty: unknown."""

    title: str = ""
    artist: str = ""
    album: str = ""
    cover: Cover | None = None

    def of_stem(self, stem: str) -> Self:
        """Return the tags of a stem, without control characters and without lengths that have no use."""
        title = clean(self.title)
        return replace(
            self,
            title=f"{title} ({stem})" if title else "",
            artist=clean(self.artist),
            album=clean(self.album),
        )

    @property
    def texts(self) -> dict[str, str]:
        """Return the texts that are known, by name."""
        named = {"title": self.title, "artist": self.artist, "album": self.album}
        return {name: text for name, text in named.items() if text}


def clean(text: str) -> str:
    """Return a text on one line, of characters that every format can hold."""
    return "".join(each if each.isprintable() else " " for each in text)[:_MAX_TEXT].strip()
