"""The training loop: checkpoints, resumption, schedule and messages."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training.tests.support import new_plan, new_run, noise_stems, write_noise_songs

from msaas_training.export import load_average
from msaas_training.mixing import Dataset
from msaas_training.spectra import LOW_BINS
from msaas_training.train import Run, rate_factor, train, train_step


@pytest.fixture
def run() -> Run:
    return new_run()


def start_training(cache: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "msaas_training.train", "--cache", str(cache), "--batch", "1"]
    options = ["--example-seconds", "0.5", "--save-every-steps", "2", "--threads", "1", "--device", "cpu"]
    return subprocess.Popen(
        [*command, *options, "--minutes", "30"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, *, limit_s: float = 120.0) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, "the condition did not become true in time"
        time.sleep(0.05)


def test_killed_training_resumes_from_its_last_checkpoint(tmp_path):
    write_noise_songs(tmp_path / "train")
    last = tmp_path / "checkpoints" / "train" / "last.pt"
    first = start_training(tmp_path)
    try:
        wait_for(last.exists)
        wait_for(lambda: torch.load(last, weights_only=True)["step"] >= 14)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    saved_step = torch.load(last, weights_only=True)["step"]
    second = start_training(tmp_path)
    try:
        assert second.stdout is not None
        report = next(line for line in second.stdout if "loss" in line)
    finally:
        second.kill()
        second.communicate()
    step = re.match(r"step (\d+)", report)
    assert step is not None
    assert int(step[1]) > saved_step


def test_steps_on_one_example_reduce_its_loss(run):
    true = noise_stems(bins=LOW_BINS)
    losses = [train_step(run, true=true, rate=1e-3) for _ in range(4)]
    assert losses[-1] < losses[0]


def test_checkpoint_restores_the_complete_state(run, tmp_path):
    for _ in range(2):
        train_step(run, true=noise_stems(bins=LOW_BINS), rate=1e-3)
    run.trained_s = 7.0
    run.save(tmp_path / "last.pt")
    other = Run(new_plan(seed=9))
    other.load(tmp_path / "last.pt")
    assert (other.step, other.trained_s) == (2, 7.0)
    assert are_equal(other.model.state_dict(), run.model.state_dict())
    assert are_equal(other.average.state_dict(), run.average.state_dict())
    assert not are_equal(run.average.state_dict(), run.model.state_dict())
    for restored, saved in zip(moments(other), moments(run), strict=True):
        assert are_equal(restored, saved)


def moments(run: Run) -> list[dict[str, torch.Tensor]]:
    return list(run.optimiser.state_dict()["state"].values())


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_checkpoint_of_another_architecture_is_refused(run, tmp_path):
    run.save(tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    state["average"]["start"] = torch.zeros(1, 8, 1, 1)
    torch.save(state, tmp_path / "last.pt")
    for read in (run.load, load_average):
        with pytest.raises(ValueError, match=r"last\.pt belongs to another architecture"):
            read(tmp_path / "last.pt")


def test_finished_training_reports_and_needs_no_initial_weights(run, tmp_path, capsys):
    run.step, run.trained_s = 7, 60.0
    run.save(tmp_path / "last.pt")
    plan = new_plan(start=tmp_path / "missing.safetensors")
    train(Dataset.open(write_noise_songs(tmp_path / "train")), folder=tmp_path, plan=plan)
    resumed, finished = capsys.readouterr().out.splitlines()
    assert resumed == f"step 7: resumed from {tmp_path}/last.pt"
    assert finished == "step 7: trained for 1.0 of 1 min"


def test_rate_warms_up_stays_constant_and_falls_to_one_hundredth():
    assert rate_factor(0, 0.0) == pytest.approx(1 / 30)
    assert rate_factor(40, 0.3) == 1
    assert rate_factor(5000, 0.65) == pytest.approx(0.505)
    assert rate_factor(5000, 1.0) == pytest.approx(0.01)


def test_training_without_songs_names_the_command_that_makes_them(tmp_path):
    with start_training(tmp_path) as process:
        process.communicate()
    assert process.returncode == 2
    with pytest.raises(ValueError, match=r"msaas_training\.generate"):
        Dataset.open(tmp_path / "train")
