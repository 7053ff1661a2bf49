"""`python -m msaas_local` names the cause of a failed start in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from msaas_local.ports import free_port

pytestmark = pytest.mark.process


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "msaas_local", *arguments],
        env={**os.environ, "PORT": str(free_port()), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_typo_ends_with_usage_and_code_2() -> None:
    result = run("dmeo")
    assert result.returncode == 2
    assert result.stderr.startswith("usage: python -m msaas_local")


def test_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "home"):
        result = run(MSAAS_HOME=str(home))
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == f"MSAAS_HOME={home} cannot be used: {home} is not a folder.\n"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_home_on_a_read_only_file_system_is_named() -> None:
    result = run(MSAAS_HOME="/proc/msaas")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("MSAAS_HOME=/proc/msaas cannot be used: /proc/msaas: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_home_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = run(MSAAS_HOME=str(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")
    assert "Permission denied" in result.stderr


def test_unknown_host_is_named_in_one_line(tmp_path: Path) -> None:
    result = run(MSAAS_HOME=str(tmp_path / "home"), HOST="host.invalid")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("HOST=host.invalid cannot be resolved: ")
    assert len(result.stderr.splitlines()) == 1
