"""The benchmark of the model stage runs, and compares its candidates with the gates."""

from pathlib import Path

import pytest
import torch
from bench.model_stage import findings, measure
from bench.random_htdemucs import SMALL, random_htdemucs

pytestmark = [pytest.mark.process, pytest.mark.long]


def test_candidates_are_compared_with_the_gates(tmp_path: Path) -> None:
    result = measure(random_htdemucs(SMALL, seed=0), pairs=1, segments=3, threads=2, folder=tmp_path)
    torch.set_num_threads(1)
    found = findings(result)
    gates = [goal for goal in found.goals if goal.is_gate]
    assert [goal.at_least for goal in gates] == [90, 45]
    assert all(goal.holds for goal in gates)
    assert "exact | float32" in found.text()
