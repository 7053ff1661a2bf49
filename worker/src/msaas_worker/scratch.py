"""Where a worker keeps songs and stems while it works; what a killed one left is removed by the next."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_PREFIX = "msaas-worker-"
_LOCK = "lock"


class Scratch:
    """A folder of this process alone, held by a lock that ends with the process however that ends."""

    def __init__(self, parent: Path | None = None) -> None:
        root = parent or Path(tempfile.gettempdir())
        _remove_left_behind(root)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self._lock = open(self._folder / _LOCK, "w")  # noqa: SIM115 - held as long as the process lives
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def heartbeat(self) -> Path:
        return self._folder / "heartbeat"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Give a folder for one job."""
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


def _remove_left_behind(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            with open(folder / _LOCK) as lock:
                if _is_free(lock):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # Another worker was quicker, or it is not ours.


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
