"""A release by its interpreter: its code, its tree and its services."""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Settings of the caller that would change a release.
_FOREIGN = (
    *("REDIS_", "MINIO_", "STORE_", "MAX_", "API_", "RATE_", "HOST", "PORT", "LOG_"),
    *("DEMUCS_", "MODEL_", "RETENTION_", "CALLBACK_", "WEBHOOK_", "DATABASE_"),
)


@dataclass(frozen=True)
class Release:
    """A release, by the interpreter that it is installed for."""

    python: str

    def run(self, code: str, *arguments: str, **environment: str) -> str:
        """Return the output of this code, without its last line end."""
        done = subprocess.run(
            [self.python, "-c", code, *arguments],
            env={**inherited_environment(), **environment},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=300,
        )
        return done.stdout.rstrip("\n")

    @property
    def tree(self) -> Path:
        """The folder of its repository: releases are installed from there, not copied."""
        return Path(self.run("import msaas; print(msaas.__file__)")).parents[3]

    def has(self, module: str) -> bool:
        found = f"import importlib.util as u; print(u.find_spec({module!r}) is not None)"
        return self.run(found) == "True"


def inherited_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def start(release: Release, module: str, folder: Path, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a service. Its output is in `folder`, in a file with its name."""
    with open(folder / f"{module}.log", "ab") as log:
        return subprocess.Popen(
            [release.python, "-m", module],
            cwd=folder,
            env={**inherited_environment(), **settings},
            stdout=log,
            stderr=log,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.kill()
    process.wait()
