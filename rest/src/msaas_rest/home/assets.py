"""Scripts, styles and fonts of the page. They are read once, at the start."""

import gzip
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
#: Fonts are compressed already.
_COMPRESSED = {".woff2"}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file as it is sent. `gzipped` is empty where compression saves nothing."""

    content: bytes
    gzipped: bytes
    media_type: str


def read_assets(folder: Traversable) -> dict[str, Asset]:
    """Return the assets by their names, none if the folder is missing."""
    if not folder.is_dir():
        return {}
    found = ((each, PurePosixPath(each.name).suffix) for each in folder.iterdir())
    return {each.name: _read(each, suffix) for each, suffix in found if suffix in _MEDIA_TYPES}


def _read(file: Traversable, suffix: str) -> Asset:
    content = file.read_bytes()
    gzipped = b"" if suffix in _COMPRESSED else gzip.compress(content, mtime=0)
    return Asset(content=content, gzipped=gzipped, media_type=_MEDIA_TYPES[suffix])
