"""Temporary folder of a worker. A worker deletes the folders that killed workers left behind."""

import fcntl
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from msaas.background import spawn

_PREFIX = "msaas-worker-"
#: Prefix of a folder whose lock is not held yet, so that another worker does not delete it.
_UNLOCKED_PREFIX = f"new-{_PREFIX}"
_LOCK = "lock"


class ScratchGone(Exception):
    """The scratch folder of this process was deleted, so it cannot do jobs any more."""


class Scratch:
    """A folder of this process. Its lock ends with the process, even on SIGKILL."""

    def __init__(self, parent: Path | None = None) -> None:
        root = parent or Path(tempfile.gettempdir())
        _remove_abandoned(root)
        unlocked = Path(tempfile.mkdtemp(prefix=_UNLOCKED_PREFIX, dir=root))
        self._lock = open(unlocked / _LOCK, "w")  # noqa: SIM115 - held until the process ends
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._folder = unlocked.rename(root / (_PREFIX + unlocked.name.removeprefix(_UNLOCKED_PREFIX)))
        self._deletion: threading.Thread | None = None

    @property
    def heartbeat(self) -> Path:
        return self._folder / "heartbeat"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Create a folder for one job. Raises `ScratchGone`.

        It is deleted in the background, which takes seconds for the gigabytes of a long song. The next folder
        waits for this, so that it has the room.
        """
        self.wait_for_deletion()
        if not self._folder.is_dir():
            raise ScratchGone(str(self._folder))
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            yield folder
        finally:
            self._deletion = spawn(shutil.rmtree, folder, True, name="scratch")

    def wait_for_deletion(self) -> None:
        """Return once the folder of the job before is deleted."""
        if self._deletion:
            self._deletion.join()

    def remove(self) -> None:
        self.wait_for_deletion()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


def _remove_abandoned(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            with open(folder / _LOCK) as lock:
                if _acquire(lock):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # Another worker deleted it first, or it is not a scratch folder.


def _acquire(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
