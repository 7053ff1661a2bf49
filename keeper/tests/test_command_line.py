"""The command line of the keeper."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "msaas_keeper", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_unknown_argument_exits_with_2() -> None:
    ended = run("--nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "unrecognized arguments: --nonsense" in ended.stderr


def test_version_is_printed() -> None:
    ended = run("--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("0.")


def test_invalid_setting_is_named_at_the_start() -> None:
    ended = run(RETENTION_HOURS="soon")
    assert ended.returncode == 1
    assert "RETENTION_HOURS: " in ended.stderr
    assert "Traceback" not in ended.stderr
