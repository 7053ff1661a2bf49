"""Names of the objects in the two buckets."""

from msaas.containers import MP3, SONG_EXTENSIONS
from msaas.formats import DEFAULT_FORMAT, FORMATS
from msaas.fragments import Fragments

DEFAULT_EXTENSION = FORMATS[DEFAULT_FORMAT].extension
#: Ends the names of fragments.
FRAGMENT_SUFFIX = ".piece"
MANIFEST_SUFFIX = ".json"
PEAKS_SUFFIX = ".peaks"
ANALYSIS_SUFFIX = ".analysis"


def song_file(song_hash: str, *, extension: str = MP3.extension) -> str:
    return f"{song_hash}.{extension}"


def song_of(name: str) -> str:
    """Return the hash of the song with this object name."""
    stem, _, extension = name.rpartition(".")
    return stem if extension in SONG_EXTENSIONS else name


def stem_file(job_id: str, stem: str, *, extension: str = DEFAULT_EXTENSION) -> str:
    return f"{job_id}-{stem}.{extension}"


def manifest_file(job_id: str) -> str:
    return f"{job_id}{MANIFEST_SUFFIX}"


def fragment_file(fragments: Fragments, stem: str, *, number: int) -> str:
    return f"{fragments.job_id}-{stem}.{fragments.tag}.{number}{FRAGMENT_SUFFIX}"


def peaks_file(job_id: str, stem: str, *, sha256: str) -> str:
    """Return the name of the peaks of the stem with this SHA-256. Another result has another name."""
    return f"{job_id}-{stem}.{sha256[:16]}{PEAKS_SUFFIX}"


def analysis_file(job_id: str) -> str:
    return f"{job_id}-song{ANALYSIS_SUFFIX}"


def fragment_peaks_file(fragments: Fragments, stem: str) -> str:
    return f"{fragments.job_id}-{stem}.{fragments.tag}{PEAKS_SUFFIX}{FRAGMENT_SUFFIX}"


def is_output(name: str) -> bool:
    """Return whether this service writes objects with such a name into the output bucket."""
    extensions = (f".{row.extension}" for row in FORMATS.values())
    return name.endswith((MANIFEST_SUFFIX, FRAGMENT_SUFFIX, PEAKS_SUFFIX, ANALYSIS_SUFFIX, *extensions))


def job_of(name: str) -> str:
    """Return the job of a stem, its peaks, a fragment, an analysis or a manifest."""
    return name.removesuffix(MANIFEST_SUFFIX) if name.endswith(MANIFEST_SUFFIX) else name.rpartition("-")[0]
