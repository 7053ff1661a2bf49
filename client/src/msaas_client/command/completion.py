"""Completion of commands, flags and models in bash, zsh and fish."""

import click
from click.shell_completion import get_completion_class

from msaas_client.command.server import open_client
from msaas_client.errors import ClientError
from msaas_client.transport import DEFAULT_URL, Timeouts

PROGRAM = "msaas"
_SHELLS = ("bash", "zsh", "fish")
#: The shell waits meanwhile.
_TIMEOUTS = Timeouts(connect_s=1.0, read_s=1.0)


@click.command(short_help="Print the completion for a shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion for SHELL.

    \b
    bash:  echo 'eval "$(msaas completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(msaas completion zsh)"' >> ~/.zshrc
    fish:  msaas completion fish > ~/.config/fish/completions/msaas.fish
    """
    found = get_completion_class(shell)
    assert found
    click.echo(found(context.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())


def complete_models(context: click.Context, incomplete: str) -> list[str]:
    """Return the models of the server, none if it does not answer at once."""
    try:
        with open_client(context.params.get("url") or DEFAULT_URL, 0.0, timeouts=_TIMEOUTS) as client:
            return [model.name for model in client.models() if model.name.startswith(incomplete)]
    except (ClientError, click.UsageError):
        return []
