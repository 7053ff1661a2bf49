"""Where a worker keeps songs and stems while it works; what a killed one left is removed by the next."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_PREFIX = "msaas-worker-"
#: Until the lock is held: a worker that starts at the same time takes such a folder for no one's.
_UNHELD = f"new-{_PREFIX}"
_LOCK = "lock"


class ScratchGone(Exception):
    """Somebody removed the scratch of this process; no job can be done in it any more."""


class Scratch:
    """A folder of this process alone, held by a lock that ends with the process however that ends."""

    def __init__(self, parent: Path | None = None) -> None:
        root = parent or Path(tempfile.gettempdir())
        _remove_left_behind(root)
        unheld = Path(tempfile.mkdtemp(prefix=_UNHELD, dir=root))
        self._lock = open(unheld / _LOCK, "w")  # noqa: SIM115 - held as long as the process lives
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._folder = unheld.rename(root / (_PREFIX + unheld.name.removeprefix(_UNHELD)))

    @property
    def heartbeat(self) -> Path:
        return self._folder / "heartbeat"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Give a folder for one job. Raises `ScratchGone`."""
        if not self._folder.is_dir():
            raise ScratchGone(str(self._folder))
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
