"""Findings of a stage: a table, the same figures as JSON, and the goals that were reached."""

import math
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from bench.measuring import load

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Goal:
    """A figure and its bound. A gate is a goal about the output, which does not depend on speed."""

    name: str
    measured: float
    at_least: float = -math.inf
    at_most: float = math.inf
    is_gate: bool = False

    @property
    def holds(self) -> bool:
        return self.at_least <= self.measured <= self.at_most

    @property
    def bound(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most < math.inf else f"≥ {self.at_least:g}"


@dataclass(frozen=True)
class Findings:
    """`columns` maps a heading to the format of its cells. A cell without a figure stays empty."""

    title: str
    rows: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, str]
    goals: tuple[Goal, ...] = ()
    note: str = ""
    #: Reason for an empty table.
    skipped: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        body = f"skipped: {self.skipped}" if self.skipped else table(self.rows, columns=self.columns)
        return "\n\n".join(filter(None, (f"### {self.title}", body, self.note)))

    def as_json(self) -> dict[str, Any]:
        goals = [{**asdict(goal), "holds": goal.holds} for goal in self.goals]
        rows = {
            name: {key: value for key, value in row.items() if value == value}
            for name, row in self.rows.items()
        }
        return {"rows": rows, "goals": goals, "skipped": self.skipped, **self.facts}


def table(rows: Mapping[str, Mapping[str, Any]], *, columns: Mapping[str, str], corner: str = "") -> str:
    lines = [_line([corner, *columns]), "|---" * (len(columns) + 1) + "|"]
    return "\n".join(
        [
            *lines,
            *(_line([name, *(_cell(form, row) for form in columns.values())]) for name, row in rows.items()),
        ]
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(form: str, row: Mapping[str, Any]) -> str:
    try:
        text = form.format(**row)
    except KeyError:
        return ""
    return "" if "nan" in text else text


def goals_table(goals: Iterable[Goal]) -> str:
    rows = {
        goal.name: {
            "bound": goal.bound,
            "measured": goal.measured,
            "holds": "yes" if goal.holds else "**no**",
        }
        for goal in goals
    }
    return table(rows, columns={"goal": "{bound}", "measured": "{measured:.4g}", "holds": "{holds}"})


def machine() -> dict[str, Any]:
    """Return the facts about the machine. Absolute times are valid for this machine only."""
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load": load(),
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
