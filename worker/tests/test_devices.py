"""The device and the number of threads of a worker."""

from pathlib import Path

import pytest
import torch

from msaas.errors import DeviceUnavailable
from msaas_worker.separators.devices import choose_device, usable_cores


def test_absent_cuda_device_is_an_error_if_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(DeviceUnavailable, match="DEVICE=auto"):
        choose_device("cuda")


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)])
def test_threads_follow_the_quota_of_the_container(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable_cores(quota_file=tmp_path / "cpu.max") == cores


@pytest.mark.parametrize(
    ("threads", "cores"), [("3", 3), ("4,2", 4), ("64", 8), ("0", 8), ("many", 8), ("", 8)]
)
def test_threads_are_limited_by_openmp_threads(
    threads: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert usable_cores(quota_file=tmp_path / "none") == cores
