"""Names of downloads."""

import re
from urllib.parse import quote

from msaas.manifest import StemFile

#: Characters that some file system does not allow in names.
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_MAX_TITLE = 120


def stem_name(stem: str, entry: StemFile, *, title: str) -> str:
    """Return `<title> (<stem>).<extension>`, or the name of the object if the song has no title."""
    title = _plain(title)
    return f"{title} ({stem}).{entry.extension}" if title else entry.file


def part_name(title: str, part: str, *, extension: str) -> str:
    """Return `<title>.<part>.<extension>`."""
    return f"{_plain(title) or 'song'}.{part}.{extension}"


def archive_name(job_id: str, *, title: str) -> str:
    """Return `<title>.zip`, or `<id>.zip` if the song has no title."""
    return f"{_plain(title) or job_id}.zip"


def disposition_of(file_name: str, *, inline: bool = False) -> str:
    """Return the header with the name in UTF-8, and in ASCII for clients that know no other (RFC 6266)."""
    plain = re.sub(r"[^ -~]|[\"\\]", "_", file_name)
    encoded = "" if plain == file_name else f"; filename*=UTF-8''{quote(file_name, safe='')}"
    kind = "inline" if inline else "attachment"
    return f'{kind}; filename="{plain}"{encoded}'


def _plain(title: str) -> str:
    return _NOT_IN_NAMES.sub(" ", title).strip(" .")[:_MAX_TITLE]
