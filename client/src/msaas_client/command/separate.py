"""`msaas separate`: on a server, or in this process with `--local`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from msaas_client.command.batch import Batch
from msaas_client.command.exits import ExitCode
from msaas_client.command.flags import SeparationFlags, read_flags, separation_flags
from msaas_client.command.options import INSTALL_ENGINE, engine_options, out_option
from msaas_client.command.output import Output
from msaas_client.command.server import open_client, server_options
from msaas_client.command.songs import (
    DEFAULT_TEMPLATE,
    Naming,
    Song,
    open_songs,
    parse_template,
)

_AT_ONCE = 4
_MOST_AT_ONCE = 32
_LOCAL_ONLY = ("other_method", "device", "precision", "repo")


@click.command(short_help="Separate songs into stems.")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@out_option(text="Folder of the stems. With --local it has a folder for the model, as that of demucs.")
@click.option(
    "--filename",
    default=DEFAULT_TEMPLATE,
    show_default=True,
    callback=parse_template,
    metavar="TEMPLATE",
    help="Name of each file: {track}, {trackext}, {stem} and {ext} are replaced.",
)
@separation_flags
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each song.")
@click.option("--callback", metavar="URL", help="URL that the server calls when the job of a song has ended.")
@click.option("--no-wait", is_flag=True, help="Send the songs and print the ids of their jobs.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, _MOST_AT_ONCE),
    default=_AT_ONCE,
    show_default=True,
    help="Songs that are sent and waited for at once.",
)
@click.option("--local", is_flag=True, help="Separate in this process, without a server.")
@click.option(
    "--other-method",
    type=click.Choice(["none", "add", "minus"]),
    default="add",
    show_default=True,
    help="With --local and --two-stems: no_STEM is the sum of the other stems (add), "
    "minus_STEM the song minus STEM (minus), or there is STEM only (none).",
)
@engine_options(prefix="With --local: ")
@click.option(
    "--precision",
    type=click.Choice(["auto", "exact", "fast"]),
    default="auto",
    show_default=True,
    help="With --local: exact is float32, the others allow 16 bits where that is faster.",
)
@server_options
@click.pass_context
def separate(context: click.Context, /, files: tuple[Path, ...], **arguments: Any) -> ExitCode:
    """Separate each FILE into stems, and print their paths.

    `-` is standard input. Stems are written to OUT/{track}/{stem}.{ext}.
    """
    flags = read_flags(arguments)
    if not arguments["local"]:
        _refuse_local_flags(context)
    with open_songs(files) as songs:
        naming = Naming(arguments["out"], arguments["filename"])
        naming.check(songs, has_one_stem=flags.has_one_stem)
        output = Output(as_json=arguments["as_json"])
        if arguments["local"]:
            return _separate_here(songs, flags, naming, output, arguments)
        with open_client(arguments["url"], arguments["patience"]) as client:
            options = flags.options(callback=arguments["callback"])
            batch = Batch(client, options=options, naming=naming, output=output)
            return batch.run(songs, at_once=arguments["jobs"], waits=not arguments["no_wait"])


def _refuse_local_flags(context: click.Context) -> None:
    for name in _LOCAL_ONLY:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --local.")


def _separate_here(
    songs: Sequence[Song],
    flags: SeparationFlags,
    naming: Naming,
    output: Output,
    arguments: dict[str, Any],
) -> ExitCode:
    if arguments["no_wait"] or arguments["callback"]:
        raise click.UsageError("--no-wait and --callback need a server. Leave --local out.")
    try:
        from msaas_client.local.separating import separate_songs
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"--local needs the engine, and {error.name} is missing. "
            f"Install it from the sources of MSaaS: {INSTALL_ENGINE}"
        ) from None
    return separate_songs(
        songs,
        options=flags.options_of_demucs(),
        naming=naming,
        output=output,
        repo=arguments["repo"],
        device=arguments["device"],
        precision=arguments["precision"],
        other_method=arguments["other_method"],
    )
