"""docs/client.md names every command, flag, exit code and method."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import msaas_client
from msaas_client.command.exits import ExitCode
from msaas_client.command.main import msaas

GUIDE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
#: Flags that need no row.
_COMMON = {"--help", "-h"}


def section(heading: str) -> str:
    return GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_command_is_listed() -> None:
    for name in msaas.commands.keys() - {"separate"}:
        assert f"| `msaas {name}" in section("Other commands"), name


def test_every_flag_of_separate_is_listed() -> None:
    command = msaas.commands["separate"]
    flags = {flag for each in command.params if isinstance(each, click.Option) for flag in each.opts}
    listed = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", section("Flags") + section("Install")))
    assert flags - _COMMON - listed == set()


def test_every_flag_of_demucs_is_compared() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "demucs.separate", "--help"], capture_output=True, text=True, check=True
    ).stdout
    flags = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", shown)) - _COMMON
    listed = set(re.findall(r"(?<![\w-])--[a-z0-9][\w-]*", section("For users of demucs")))
    assert flags - {"--sig", "--verbose"} - listed == set()


def test_exit_codes_are_those_of_the_command() -> None:
    rows = re.findall(r"^\| (\d+) \|", section("Flags"), flags=re.MULTILINE)
    assert [int(row) for row in rows] == [code.value for code in ExitCode]


def test_methods_and_errors_of_the_library_are_listed() -> None:
    listed = section("Library")
    methods = {
        name
        for name, _ in inspect.getmembers(msaas_client.Client, inspect.isfunction)
        if not name.startswith("_")
    }
    for name in methods - {"close"}:
        assert f"`{name}(" in listed, name
    for name in (name for name in msaas_client.__all__ if name.endswith(("Error", "Failed", "Timeout"))):
        assert name == "JobError" or f"`{name}`" in listed, name


@pytest.mark.parametrize("name", sorted(msaas.commands))
def test_help_of_each_command_is_complete(name: str) -> None:
    command = msaas.commands[name]
    assert command.short_help
    assert all(each.help for each in command.params if isinstance(each, click.Option)), name
