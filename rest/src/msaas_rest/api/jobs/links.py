"""Links of a finished job: to its stems, and to the archive of all of them."""

from collections.abc import Iterable
from typing import Any

from msaas.errors import UnknownFormat
from msaas.formats import format_of_extension
from msaas.manifest import Manifest, StemFile
from msaas.storage.protocol import PublicStore
from msaas_rest.file_names import disposition_of, stem_name

_API = "/apiv1"
_ANY_MEDIA_TYPE = "application/octet-stream"


def links_of(
    manifest: Manifest | None,
    stems: Iterable[str],
    *,
    public_store: PublicStore | None,
    output_bucket: str,
) -> dict[str, Any] | None:
    """Return URLs of the stems and of the archive, None for a job that is not done.

    Those of stems are presigned if the store is public. The others are absolute paths of this service.
    """
    if manifest is None:
        return None
    job_id = manifest.job_id

    def link(stem: str) -> str:
        entry = manifest.stems[stem]
        if public_store is None:
            return f"{_API}/track/{job_id}/{stem}.{entry.extension}"
        return public_store.presign(
            output_bucket,
            entry.file,
            disposition=disposition_of(stem_name(stem, entry, title=manifest.title)),
            media_type=_media_type(entry),
        )

    return {"stems": {stem: link(stem) for stem in stems}, "archive": f"{_API}/archive/{job_id}.zip"}


def _media_type(entry: StemFile) -> str:
    """Return the type of the stem, also of one whose format a newer version wrote."""
    try:
        return format_of_extension(entry.extension).media_type
    except UnknownFormat:
        return _ANY_MEDIA_TYPE
