"""The command `msaas doctor`."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TextIO

import click

from msaas_client.client import Client
from msaas_client.command.exits import ExitCode
from msaas_client.command.options import INSTALL_ENGINE, engine_options
from msaas_client.command.server import API_KEY, open_client, server_options_with
from msaas_client.doctor.findings import Finding, Outcome, code_of, mask_secrets, write_report
from msaas_client.doctor.server import check_server
from msaas_client.transport import Timeouts

_COLOURS = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.FAILED: "red", Outcome.SKIPPED: "cyan"}
#: A server that answers nothing for so long counts as away.
_PATIENCE_S = 5.0
_TIMEOUTS = Timeouts(connect_s=_PATIENCE_S, read_s=_PATIENCE_S)


@click.command(short_help="Check a server, the engine and its weights.")
@click.option("--no-server", is_flag=True, help="Leave out the checks of the server.")
@click.option("--no-engine", is_flag=True, help="Leave out the checks of the engine and its weights.")
@click.option("-m", "-n", "--model", default="htdemucs", show_default=True, help="Model to check.")
@engine_options()
@click.option(
    "--report",
    # Opened now: the checks take minutes.
    type=click.File("w", encoding="utf-8", lazy=False),
    help="Write a file to attach to a bug report. Secrets are masked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each check.")
@server_options_with(patience_s=_PATIENCE_S)
def doctor(
    no_server: bool,
    no_engine: bool,
    model: str,
    repo: Path | None,
    device: str,
    report: TextIO | None,
    as_json: bool,
    url: str,
    patience: float,
) -> ExitCode:
    """Check the server, then the engine of this machine: fetch and verify the weights, and separate 10 s
    with them by our engine and by demucs itself.

    The exit code is that of the first check that failed.
    """
    findings = []
    server = (
        [_skipped("server", "--no-server")]
        if no_server
        else _examine_server(open_client(url, patience, timeouts=_TIMEOUTS))
    )
    engine = (
        [_skipped("engine", "--no-engine")] if no_engine else _examine_engine(model, repo=repo, device=device)
    )
    for each in chain(_end_well("server", server), _end_well("engine", engine)):
        _print(each, as_json=as_json)
        findings.append(each)
    if report:
        report.write(write_report(findings))
        click.echo(f"The report is in {report.name}.", err=True)
    return code_of(findings)


def _end_well(name: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings. An error of any kind becomes the last one, so that the report is written."""
    try:
        yield from findings
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        yield Finding(name=name, outcome=Outcome.FAILED, detail=detail)


def _examine_server(client: Client) -> Iterator[Finding]:
    with client:
        yield from check_server(client, has_key=bool(os.environ.get(API_KEY)))


def _examine_engine(model: str, *, repo: Path | None, device: str) -> Iterator[Finding]:
    try:
        from msaas_client.local.examination import check_engine
    except ModuleNotFoundError as error:
        detail = f"{error.name} is missing. To check the engine, in the sources of MSaaS: {INSTALL_ENGINE}"
        yield _skipped("engine", detail)
        return
    yield from check_engine(model, repo=repo, device=device)


def _skipped(name: str, reason: str) -> Finding:
    return Finding(name=name, outcome=Outcome.SKIPPED, detail=reason)


def _print(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        click.echo(finding.to_json())
    else:
        outcome = click.style(f"{finding.outcome:<8}", fg=_COLOURS[finding.outcome])
        click.echo(mask_secrets(f"{outcome} {finding.name:<11} {finding.detail}"))
