"""The benchmark of the model stage runs, and holds its candidates to the gates."""

from pathlib import Path

import torch
from bench.model_stage import measure, table
from bench.random_htdemucs import SMALL, random_htdemucs


def test_the_benchmark_holds_its_candidates_to_the_gates(tmp_path: Path) -> None:
    result = measure(random_htdemucs(SMALL, seed=0), pairs=1, segments=3, threads=2, folder=tmp_path)
    torch.set_num_threads(1)
    assert result["rows"]["exact"]["snr_db"] >= 90
    assert result["rows"]["auto"]["snr_db"] >= 45
    assert "exact | float32" in table(result)
