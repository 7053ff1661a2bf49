"""Completion in the shells themselves."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from client.tests.stack import MSAAS, Stack, environment, require_shell, run

pytestmark = pytest.mark.server

#: Each prints what the shell offers for `msaas s`, `msaas separate --two` and `msaas separate -m htdemucs_`.
_BASH = """
eval "$(msaas completion bash)"
offer() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  "$(complete -p msaas | sed 's/.*-F \\([^ ]*\\).*/\\1/')" msaas
  printf '%s\\n' "${COMPREPLY[@]}"
}
offer msaas s
offer msaas separate --two
offer msaas separate -m htdemucs_
"""
_ZSH = """
autoload -U compinit && compinit -u -d "$HOME/dump"
eval "$(msaas completion zsh)"
compadd() { print -l -- $completions; }
_describe() { print -l -- $completions_with_descriptions; }
words=(msaas s); CURRENT=2; _msaas_completion msaas
words=(msaas separate --two); CURRENT=3; _msaas_completion msaas
words=(msaas separate -m htdemucs_); CURRENT=4; _msaas_completion msaas
"""
_FISH = """
msaas completion fish | source
complete --do-complete "msaas s"
complete --do-complete "msaas separate --two"
complete --do-complete "msaas separate -m htdemucs_"
"""


@pytest.mark.parametrize(("shell", "script"), [("bash", _BASH), ("zsh", _ZSH), ("fish", _FISH)])
def test_shell_offers_commands_flags_and_models(
    stack: Stack, shell: str, script: str, tmp_path: Path
) -> None:
    variables = environment(stack.url, HOME=str(tmp_path))
    variables["PATH"] = f"{MSAAS.parent}:{variables['PATH']}"
    arguments = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [require_shell(shell), *arguments, "-c", script],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    offered = {line.split("\t")[0].split(":")[0].removeprefix("plain,") for line in done.stdout.splitlines()}
    expected = {"separate", "status", "--two-stems", "htdemucs_ft", "htdemucs_6s"}
    assert expected <= offered, (done.stdout, done.stderr)
    assert not {"models", "--mp3", "mdx"} & offered


def test_completion_offers_no_models_without_a_server(tmp_path: Path) -> None:
    variables = {"_MSAAS_COMPLETE": "bash_complete", "COMP_WORDS": "msaas separate -m h", "COMP_CWORD": "3"}
    done = run("http://127.0.0.1:9", "", cwd=tmp_path, **variables)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_completion_does_not_wait_for_a_silent_server(tmp_path: Path) -> None:
    variables = {"_MSAAS_COMPLETE": "bash_complete", "COMP_WORDS": "msaas separate -m h", "COMP_CWORD": "3"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        done = run(f"http://127.0.0.1:{server.getsockname()[1]}", "", cwd=tmp_path, **variables)
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert time.monotonic() - began < 10
