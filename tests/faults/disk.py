"""Files on the disk of a worker."""

from pathlib import Path


def files_in(folder: Path) -> set[str]:
    """Return the names of all files below `folder`."""
    return {path.name for path in folder.rglob("*") if path.is_file()}
