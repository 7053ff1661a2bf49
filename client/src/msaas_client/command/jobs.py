"""Commands for jobs: `status`, `fetch`, `cancel`, `ls` and `logs`."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from msaas_client.client import Client
from msaas_client.command.exits import ExitCode, exit_code_of
from msaas_client.command.options import out_option
from msaas_client.command.output import Output
from msaas_client.command.server import open_client, server_options
from msaas_client.command.songs import Song
from msaas_client.errors import ClientError, JobFailed, Refused, Unreachable
from msaas_client.values import Job, State

_COLOURS = {State.DONE: "green", State.FAILED: "red", State.CANCELLED: "yellow"}
#: `msaas logs` looks at jobs this often, in s. Without ids it looks at so many, which are one page.
_LOOK_S = 1.0
_LATEST = 100
_SHORT_ID = 12

_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each job.")


@click.command(short_help="Show the status of jobs.")
@_ids
@_json
@server_options
def status(ids: tuple[str, ...], as_json: bool, url: str, patience: float) -> ExitCode:
    """Show the status of each job. The exit code is 1 if one of them failed."""
    output = Output(as_json=as_json)
    with open_client(url, patience) as client:

        def show(job_id: str) -> ExitCode:
            job = client.job(job_id)
            print_jobs([job], as_json=as_json)
            return ExitCode.FAILED if job.state is State.FAILED else ExitCode.DONE

        return _for_each(ids, show, output=output, state="unknown")


@click.command(short_help="Fetch the stems of jobs.")
@_ids
@out_option()
@_json
@server_options
def fetch(ids: tuple[str, ...], out: Path, as_json: bool, url: str, patience: float) -> ExitCode:
    """Wait for each job and write its stems to OUT/{id}/{stem}.{ext}."""
    output = Output(as_json=as_json)
    with open_client(url, patience) as client:

        def fetch_one(job_id: str) -> None:
            job = client.wait(job_id)
            paths = client.download_all(job, out / job_id)
            output.print_done(Song(Path(job_id), job_id), paths, job=job)

        return _for_each(ids, fetch_one, output=output)


@click.command(short_help="Cancel jobs.")
@_ids
@click.option("--all", "all_requests", is_flag=True, help="Cancel the requests of all clients.")
@server_options
def cancel(ids: tuple[str, ...], all_requests: bool, url: str, patience: float) -> ExitCode:
    """Cancel the requests of this client for each job. The job ends when it has none left."""
    with open_client(url, patience) as client:

        def cancel_one(job_id: str) -> None:
            state = client.cancel(job_id, all_requests=all_requests)
            click.echo(f"{job_id}  {_coloured(state)}")

        return _for_each(ids, cancel_one, output=Output(as_json=False))


def _for_each(
    ids: Iterable[str], act: Callable[[str], ExitCode | None], *, output: Output, state: str = "failed"
) -> ExitCode:
    """Call `act` with each id. An id that fails is printed with `state`, and the others go on.

    A server that is away or refuses the key would do so for each. Return the largest exit code.
    """
    codes = {ExitCode.DONE}
    for each in ids:
        try:
            codes.add(act(each) or ExitCode.DONE)
        except BrokenPipeError:
            raise
        except (ClientError, OSError) as error:
            codes.add(exit_code_of(error))
            output.print_failed(Song(Path(each), each), error, job_id=each, state=state)
            if isinstance(error, Refused | Unreachable):
                break
    return max(codes)


@click.command(short_help="List the latest jobs.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([each.value for each in State]),
    help="Only this state.",
)
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Length of the list."
)
@_json
@server_options
def ls(states: tuple[str, ...], limit: int, as_json: bool, url: str, patience: float) -> None:
    """List the latest jobs, newest first."""
    with open_client(url, patience) as client:
        print_jobs(client.jobs(states=tuple(map(State, states)), limit=limit), as_json=as_json)


@click.command(short_help="Print each change of jobs.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_json
@server_options
def logs(ids: tuple[str, ...], as_json: bool, url: str, patience: float) -> None:
    """Print a line for each change of jobs until they have ended, or of the latest jobs until Ctrl-C."""
    with open_client(url, patience) as client:
        for job in _find_changes(_look_at(client, ids) if ids else _look_at_latest(client)):
            print_jobs([job], as_json=as_json, time=datetime.now(UTC))


def _find_changes(looks: Iterable[list[Job]]) -> Iterator[Job]:
    """Yield each job that has changed since the look before. Its position in the queue does not count."""
    seen: dict[str, Job] = {}
    for jobs in looks:
        found = {job.id: replace(job, position=None) for job in jobs}
        yield from (job for job in jobs if found[job.id] != seen.get(job.id))
        seen = found


def _look_at(client: Client, ids: Sequence[str]) -> Iterator[list[Job]]:
    """Yield these jobs until they have ended. A single one is followed by its events."""
    if len(ids) == 1:
        yield from ([job] for job in client.follow(ids[0]))
        return
    while jobs := [client.job(each) for each in ids]:
        yield jobs
        ids = [job.id for job in jobs if not job.has_ended]
        time.sleep(_LOOK_S if ids else 0)


def _look_at_latest(client: Client) -> Iterator[list[Job]]:
    """Yield the latest jobs, those that had ended before left out."""
    before = {job.id: job for job in client.jobs(limit=_LATEST) if job.has_ended}
    while True:
        jobs = list(client.jobs(limit=_LATEST))
        yield [job for job in reversed(jobs) if job != before.get(job.id)]
        time.sleep(_LOOK_S)


def print_jobs(jobs: Iterable[Job], *, as_json: bool, time: datetime | None = None) -> None:
    """Print each job on a line: a time, the id, the state, and the facts of this state."""
    for job in jobs:
        if as_json:
            click.echo(json.dumps({**({"time": time.isoformat()} if time else {}), **asdict(job)}))
        else:
            begin = f"{time:%H:%M:%S}  {job.id[:_SHORT_ID]}" if time else job.id
            click.echo(f"{begin}  {_coloured(job.state)}  {describe(job)}".rstrip())


def describe(job: Job) -> str:
    """Return the facts of a job that matter in its state."""
    match job.state:
        case State.QUEUED:
            return f"number {job.position} in the queue" if job.position else ""
        case State.FAILED:
            return str(JobFailed(job))
        case State.CANCELLED:
            return ""
    eta = f", {job.eta_s:.0f} s left" if job.eta_s is not None else ""
    runs = f"{job.model} on {job.device}" if job.model and job.device else job.model or ""
    progress = "" if job.state is State.DONE else f"{job.progress:4.0%}{eta}  "
    return f"{progress}{runs}"


def _coloured(state: State) -> str:
    return click.style(f"{state:<9}", fg=_COLOURS.get(state))
