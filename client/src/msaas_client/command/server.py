"""The server of a command: its URL and its key."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from msaas_client.client import Client
from msaas_client.retries import RetryPolicy
from msaas_client.transport import DEFAULT_URL, Timeouts, parse_url

API_KEY = "MSAAS_API_KEY"
Command = TypeVar("Command", bound=Callable[..., Any])


def server_options(command: Command) -> Command:
    """Add `--url` and `--patience`. The key comes from the environment, where other users do not see it."""
    return server_options_with(patience_s=RetryPolicy().patience_s)(command)


def server_options_with(*, patience_s: float) -> Callable[[Command], Command]:
    """Return a function that adds these options with another default of `--patience`."""
    url = click.option(
        "--url",
        envvar="MSAAS_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        callback=_parse_url,
        help="URL of the server.",
    )
    patience = click.option(
        "--patience",
        type=click.FloatRange(min=0),
        default=patience_s,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long for a server that went away or is busy.",
    )
    return lambda command: url(patience(command))


def open_client(url: str, patience: float, *, timeouts: Timeouts = Timeouts()) -> Client:
    """Return a client with the key of `MSAAS_API_KEY`, if it is set. Raises `UsageError`."""
    key = os.environ.get(API_KEY, "").strip() or None
    try:
        return Client(url, api_key=key, timeouts=timeouts, retries=RetryPolicy(patience_s=patience))
    except ValueError as error:
        raise click.UsageError(f"{error} It is in {API_KEY}.") from None


def _parse_url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return parse_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
