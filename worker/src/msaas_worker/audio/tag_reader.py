"""Reading of tags in the decoder process, by tinytag."""

import base64
import encodings.ascii
import encodings.latin_1
import encodings.utf_8
import encodings.utf_16
import encodings.utf_16_be
import encodings.utf_16_le
from typing import BinaryIO

from tinytag import TinyTag

from msaas.containers import Container

#: The codecs of tags. Python would import them at their first use, which a confined process cannot.
_CODECS = (
    *(encodings.ascii, encodings.latin_1, encodings.utf_8),
    *(encodings.utf_16, encodings.utf_16_be, encodings.utf_16_le),
)
#: Longer texts and larger covers are cut or left out by the writers of stems.
_MAX_TEXT = 2000
_MAX_COVER_BYTES = 500_000


def read_tags(song: BinaryIO, container: Container) -> dict[str, str]:
    """Return the title, artist, album and cover of a song, as far as it has them.

    The cover is base64. A file without tags that can be read has none: tags never fail a song.
    """
    try:
        found = TinyTag.get(f"song.{container.extension}", file_obj=song, duration=False, image=True)
        cover = found.images.any
    except Exception:
        # The file is foreign: the library may fail in any way.
        return {}
    texts = {"title": found.title, "artist": found.artist, "album": found.album}
    tags = {name: _clean(text) for name, text in texts.items() if text}
    if cover and cover.data and len(cover.data) <= _MAX_COVER_BYTES:
        tags["cover"] = base64.b64encode(cover.data).decode()
    return tags


def _clean(text: str) -> str:
    return text[:_MAX_TEXT].encode(errors="replace").decode()
