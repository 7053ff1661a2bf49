"""Exit codes, and an installation without the engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.tests.conftest import KEY
from client.tests.stack import Stack, run
from msaas_client.command.main import main
from tests.servers import free_port

pytestmark = pytest.mark.server


def test_usage_errors_are_2(
    stack: Stack, song_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / song_file.name
    other.parent.mkdir()
    other.write_bytes(song_file.read_bytes())
    for arguments, reason in (
        ([], "Missing argument"),
        (["absent.mp3"], "does not exist"),
        (["--flac", "--mp3", song_file], "exclude each other"),
        (["--filename", "{track}.{ext}", song_file], "--filename needs {stem}"),
        (["--filename", "{stem}.{title}", song_file], "Only {track}, {trackext}"),
        (["--device", "cpu", song_file], "--device needs --local"),
        ([song_file, other], "would write the same files"),
        (["-m", "htdemucs_7s", song_file], "Choose one of htdemucs"),
        (["--url", "ftp://host", song_file], "should be http"),
        (["--filename", "{stem}{track:d}", song_file], "is not a template"),
        (["--filename", "{stem}{track:{ext}}", song_file], "is not a template"),
        (["--filename", "{stem}{track!x}", song_file], "is not a template"),
        (["--callback", os.fsdecode(b"http://\xff"), song_file], "is not Unicode text"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["separate", "--url", stack.url, *map(str, arguments)])
        shown = capsys.readouterr()
        assert (end.value.code, shown.out) == (2, ""), arguments
        assert reason in shown.err, arguments


def test_failed_job_is_1(stack: Stack, tmp_path: Path) -> None:
    done = run(stack.url, "status", "0" * 64, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: Job {'0' * 64} is unknown. Send the song again.\n"


def test_server_that_is_away_is_3(tmp_path: Path, song_file: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run(url, "separate", song_file, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error: {song_file}: {url} does not answer: Connection refused\n"


def test_key_that_is_refused_is_4_and_never_printed(
    keyed_stack: Stack, song_file: Path, tmp_path: Path
) -> None:
    for key in ("", "another-secret-key-of-the-tests"):
        done = run(keyed_stack.url, "separate", song_file, cwd=tmp_path, MSAAS_API_KEY=key)
        assert (done.returncode, done.stdout) == (4, "")
        assert "key" in done.stderr
        assert "secret" not in done.stderr
    for key in ("the-secret\nkey", "the-secret-kéy"):
        for command in (["separate", song_file], ["ls"], ["doctor", "--no-engine"]):
            done = run(keyed_stack.url, *command, cwd=tmp_path, MSAAS_API_KEY=key)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert "Error: The API key has a character" in done.stderr
            assert "secret" not in done.stderr
    done = run(keyed_stack.url, "ls", cwd=tmp_path, MSAAS_API_KEY=KEY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", ["separate --local song.mp3", "doctor --no-server"])
def test_missing_engine_is_named(command: str, tmp_path: Path) -> None:
    """A package that hides the worker stands for an installation without the extra."""
    (tmp_path / "msaas_worker.py").write_text("raise ModuleNotFoundError(name='msaas_worker')")
    (tmp_path / "song.mp3").touch()
    done = run("", *command.split(), cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "msaas_worker is missing" in done.stdout + done.stderr
    assert "pip install ./common ./worker './client[local]'" in done.stdout + done.stderr


def test_command_needs_no_engine() -> None:
    """The extra `local` brings torch, and nothing else may import it or its packages."""
    program = (
        "import sys; import msaas_client.command.main; "
        "sys.exit(str([name for name in ('torch', 'numpy', 'msaas', 'msaas_worker') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"
