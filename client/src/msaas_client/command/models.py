"""`msaas models`: the models of the server."""

import json
from dataclasses import asdict

import click

from msaas_client.command.server import open_client, server_options
from msaas_client.values import Model

_AVAILABLE = {True: "available", False: "not available", None: "unknown"}


@click.command(short_help="List the models of the server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model.")
@server_options
def models(as_json: bool, url: str, patience: float) -> None:
    """List the models: the default has a star. A model is available while a worker runs it."""
    with open_client(url, patience) as client:
        for model in client.models():
            click.echo(json.dumps(asdict(model)) if as_json else _line(model))


def _line(model: Model) -> str:
    star = "*" if model.is_default else " "
    return f"{star} {model.name:<12}  {_AVAILABLE[model.is_available]:<13}  {', '.join(model.stems)}"
