"""Checks of a server: its answer, its queue and store, the key, its models and formats."""

from collections.abc import Callable, Iterator

from msaas_client.client import Client
from msaas_client.command.exits import ExitCode, exit_code_of
from msaas_client.doctor.findings import Finding, Outcome
from msaas_client.errors import ClientError, RequestFailed


def check_server(client: Client, *, has_key: bool) -> Iterator[Finding]:
    """Yield the findings. Without an answer the first one is the last one."""
    server = _guard("server", lambda: _check_readiness(client))
    yield server
    if server.outcome is Outcome.FAILED and server.exit_code is ExitCode.UNREACHABLE:
        return
    key = _guard("key", lambda: _check_key(client, has_key=has_key))
    yield key
    if key.outcome is Outcome.FAILED:
        return
    yield _guard("models", lambda: _check_models(client))
    yield _guard("formats", lambda: _check_formats(client))


def _guard(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except ClientError as error:
        return Finding(name=name, outcome=Outcome.FAILED, detail=str(error), exit_code=exit_code_of(error))


def _check_readiness(client: Client) -> Finding:
    try:
        found = client.readiness()
    except RequestFailed as error:
        detail = f"{client.url} answers, but accepts no songs. {error}"
        return Finding(name="server", outcome=Outcome.FAILED, detail=detail)
    facts = {"url": client.url, "workers": found.workers}
    if not found.is_ready:
        detail = f"{client.url} accepts no songs. queue: {found.queue}, store: {found.store}"
        return Finding(name="server", outcome=Outcome.FAILED, detail=detail, facts=facts)
    if not found.workers:
        detail = f"{client.url} accepts songs, and no worker runs: songs wait. Start a worker."
        return Finding(name="server", outcome=Outcome.WARNING, detail=detail, facts=facts)
    detail = f"{client.url}: queue and store answer, workers: {found.workers}"
    return Finding(name="server", outcome=Outcome.OK, detail=detail, facts=facts)


def _check_key(client: Client, *, has_key: bool) -> Finding:
    list(client.jobs(limit=1))
    detail = "accepted" if has_key else "none is needed"
    return Finding(name="key", outcome=Outcome.OK, detail=detail)


def _check_models(client: Client) -> Finding:
    models = client.models()
    available = [model.name for model in models if model.is_available]
    default = next((model.name for model in models if model.is_default), "")
    facts = {"default": default, "available": available}
    if default in available:
        detail = f"{default} is the default, available: {', '.join(available)}"
        return Finding(name="models", outcome=Outcome.OK, detail=detail, facts=facts)
    others = f"Songs are separated by {', '.join(available)}." if available else "No model is available."
    detail = f"No worker runs the default, {default}: its weights are missing, or it loads them. {others}"
    return Finding(name="models", outcome=Outcome.WARNING, detail=detail, facts=facts)


def _check_formats(client: Client) -> Finding:
    limits = client.limits()
    facts = {"inputs": limits.inputs, "formats": limits.formats, "max_upload_mb": limits.max_upload_mb}
    detail = f"{', '.join(limits.formats)}, songs up to {limits.max_upload_mb:g} MiB"
    return Finding(name="formats", outcome=Outcome.OK, detail=detail, facts=facts)
