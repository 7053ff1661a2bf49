"""Entry point of `msaas`. Each failure becomes a line on stderr and an exit code."""

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from msaas_client.command.completion import PROGRAM, completion
from msaas_client.command.exits import ExitCode, exit_code_of
from msaas_client.command.jobs import cancel, fetch, logs, ls, status
from msaas_client.command.models import models
from msaas_client.command.output import choose_colour, show_error
from msaas_client.command.separate import separate
from msaas_client.doctor.command import doctor
from msaas_client.errors import ClientError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="msaas-client")
@click.pass_context
def msaas(context: click.Context) -> None:
    """Separate songs into stems: vocals, drums, bass and the rest.

    MSAAS_URL is the server, MSAAS_API_KEY its key, and NO_COLOR turns colours off.

    Exit codes: 0 done, 1 a job or the server failed, 2 usage, 3 the server is unreachable, 4 it refused
    the key, 130 interrupted.
    """
    context.color = choose_colour()


for _command in (separate, status, fetch, cancel, ls, models, logs, doctor, completion):
    msaas.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process with its exit code."""
    # Names of files need not be UTF-8.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        code = msaas.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:
        # The reader of stdout has gone. Python would report it again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.FAILED
    except (ClientError, OSError) as error:
        show_error(str(error))
        code = exit_code_of(error)
    sys.exit(int(code or ExitCode.DONE))
