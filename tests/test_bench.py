"""`make bench` on a small model: every stage reports figures, and the gates hold. Times are not checked."""

import json
import math
from typing import Any

import pytest
from bench.__main__ import main
from bench.report import Findings, Goal

#: On a busy machine, the imports of torch alone can take minutes.
pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(900)]
SERVED = ("song", "length", "again", "first")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the stages that need a service once, and return the JSON report."""
    path = tmp_path_factory.mktemp("bench") / "report.json"
    assert main(["--small", *SERVED, "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_stage_reports_rows_with_finite_figures(report: dict[str, Any]) -> None:
    assert list(report["stages"]) == list(SERVED)
    for name, stage in report["stages"].items():
        assert stage["rows"], name
        for row in stage["rows"].values():
            assert all(math.isfinite(value) for value in row.values() if not isinstance(value, str)), row


def test_stems_of_the_service_equal_those_of_the_cli(report: dict[str, Any]) -> None:
    row = report["stages"]["song"]["rows"]["3 s"]
    assert row["snr_db"] >= 45
    assert abs(row["mp3_lost_db"]) <= 0.1
    # The distance between two MP3s of one sound is at most the sum of their noise.
    assert row["mp3_to_mp3_snr_db"] >= row["reference_mp3_snr_db"] - 3


def test_same_song_again_runs_no_model(report: dict[str, Any]) -> None:
    assert report["stages"]["again"]["rows"]["3 s"]["model_runs"] == 0


def test_report_names_machine_and_commit(report: dict[str, Any]) -> None:
    assert report["machine"]["cores"]
    assert report["machine"]["torch"]
    assert {"commit", "processor", "load", "taken_at"} <= set(report["machine"])


def test_goal_holds_within_its_bound_only() -> None:
    goals = (
        Goal("memory", 2.1, at_most=2.0),
        Goal("speed", 3.2, at_least=3.2),
        Goal("snr", math.nan, at_least=45),
    )
    assert [goal.holds for goal in goals] == [False, True, False]
    assert [goal.bound for goal in goals] == ["≤ 2", "≥ 3.2", "≥ 45"]


def test_missing_figure_leaves_its_cell_empty() -> None:
    found = Findings("t", {"a": {"x": 1.0}, "b": {"x": math.nan}, "c": {}}, {"x": "{x:.1f}"})
    assert [line for line in found.text().splitlines() if line.startswith("| ")][1:] == [
        "| a | 1.0 |",
        "| b |  |",
        "| c |  |",
    ]
