"""The history of the songs of the demo: one line for each separation, as `GET /apiv1/history` has it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import requests

_TIMEOUT_S = 10.0
_POLL_S = 0.3

_COLUMNS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("history", lambda row: f"{row['songhash'][:12]}…"),
    ("state", lambda row: str(row["state"])),
    ("model", lambda row: row["model"] or "-"),
    ("device", lambda row: row["device"] or "-"),
    ("attempts", lambda row: str(row["attempts"])),
    ("audio", lambda row: _format_seconds(row["audio_s"])),
    ("work", lambda row: _format_seconds(row["work_s"])),
    ("finished", lambda row: row["finished_at"] or "-"),
]


def wait_for_history(
    url: str, job_ids: Sequence[str], *, timeout_s: float = _TIMEOUT_S
) -> list[dict[str, Any]]:
    """Return the separations of these jobs, fewer if the keeper has not stored them in time."""
    until = time.monotonic() + timeout_s
    while True:
        found = [row for row in _ask(url) if row["songhash"] in job_ids]
        if len(found) >= len(job_ids) or time.monotonic() > until:
            return found
        time.sleep(_POLL_S)


def _ask(url: str) -> list[dict[str, Any]]:
    """Return the latest separations, none while the API or its database is away."""
    try:
        response = requests.get(f"{url}/apiv1/history", timeout=_TIMEOUT_S)
        response.raise_for_status()
        return list(response.json()["separations"])
    except requests.RequestException:
        return []


def format_history(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table with a line for each separation."""
    cells = [[name for name, _ in _COLUMNS], *([text(row) for _, text in _COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "".join(f"{line}\n" for line in lines)


def _format_seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
