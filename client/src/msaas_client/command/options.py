"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from msaas_client.command.songs import DEFAULT_FOLDER

#: No package index has the parts.
INSTALL_ENGINE = "pip install ./common ./worker './client[local]'"
Command = TypeVar("Command", bound=Callable[..., Any])


def out_option(*, text: str = "Folder of the stems.") -> Callable[[Command], Command]:
    """Add `--out`, the folder of the stems."""
    return click.option(
        "-o",
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        help=text,
    )


def engine_options(*, prefix: str = "") -> Callable[[Command], Command]:
    """Add `--device` and `--repo`. Their help begins with `prefix`."""

    def add(command: Command) -> Command:
        device = click.option(
            "-d",
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help=f"{prefix}Where the model runs.",
        )
        repo = click.option(
            "--repo",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="MODEL_REPO",
            show_envvar=True,
            help=f"{prefix}Folder of weights.",
        )
        return device(repo(command))

    return add
