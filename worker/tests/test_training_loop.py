"""The training of `starter` is resumable after a kill, and says how far it is."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training.desk import Library
from msaas_training.export import averaged
from msaas_training.spectra import LOW_BINS
from msaas_training.train import Plan, Run, pace, train, train_step
from worker.tests.training_noise import FRAMES, begun_run, noise, songs_of_noise

TRAINING = Path(__file__).parents[1] / "training"


@pytest.fixture
def run() -> Run:
    return begun_run()


def start_training(cache: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "msaas_training.train", "--cache", str(cache), "--batch", "1"]
    options = ["--example-seconds", "0.5", "--save-every-steps", "2", "--threads", "1", "--device", "cpu"]
    return subprocess.Popen(
        [*command, *options, "--minutes", "30"],
        env={**os.environ, "PYTHONPATH": str(TRAINING), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, *, limit_s: float = 120.0) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path):
    songs_of_noise(tmp_path / "train")
    last = tmp_path / "checkpoints" / "train" / "last.pt"
    first = start_training(tmp_path)
    try:
        wait_for(last.exists)
        wait_for(lambda: torch.load(last, weights_only=True)["step"] >= 14)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    reached = torch.load(last, weights_only=True)["step"]
    second = start_training(tmp_path)
    try:
        assert second.stdout is not None
        report = next(line for line in second.stdout if "loss" in line)
    finally:
        second.kill()
        second.communicate()
    step = re.match(r"step (\d+)", report)
    assert step is not None
    assert int(step[1]) > reached


def test_a_step_on_one_example_makes_it_fit_better(run):
    true = noise(bins=LOW_BINS)
    losses = [train_step(run, true=true, rate=1e-3) for _ in range(4)]
    assert losses[-1] < losses[0]


def test_a_checkpoint_gives_back_every_number(run, tmp_path):
    for _ in range(2):
        train_step(run, true=noise(bins=LOW_BINS), rate=1e-3)
    run.trained_s = 7.0
    run.save(tmp_path / "last.pt")
    other = Run(Plan(1, 1, FRAMES, "cpu", 1, seed=9))
    other.load(tmp_path / "last.pt")
    assert (other.step, other.trained_s) == (2, 7.0)
    assert same(other.model.state_dict(), run.model.state_dict())
    assert same(other.average.state_dict(), run.average.state_dict())
    assert not same(run.average.state_dict(), run.model.state_dict())
    for ours, theirs in zip(moments(other), moments(run), strict=True):
        assert same(ours, theirs)


def moments(run: Run) -> list[dict[str, torch.Tensor]]:
    return list(run.optimiser.state_dict()["state"].values())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_checkpoint_of_another_model_is_refused_by_its_name(run, tmp_path):
    run.save(tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    state["average"]["start"] = torch.zeros(1, 8, 1, 1)
    torch.save(state, tmp_path / "last.pt")
    for read in (run.load, averaged):
        with pytest.raises(ValueError, match=r"last\.pt is of another model"):
            read(tmp_path / "last.pt")


def test_a_training_that_is_over_says_so_and_needs_no_weights_to_begin_with(run, tmp_path, capsys):
    run.step, run.trained_s = 7, 60.0
    run.save(tmp_path / "last.pt")
    plan = Plan(1, 1, FRAMES, "cpu", 1, start=tmp_path / "gone.safetensors")
    train(Library.at(songs_of_noise(tmp_path / "train")), folder=tmp_path, plan=plan)
    goes_on, over = capsys.readouterr().out.splitlines()
    assert goes_on == f"step 7: goes on from {tmp_path}/last.pt"
    assert over == "step 7: trained for 1.0 of 1 min"


def test_the_rate_rises_by_steps_stays_and_falls_to_a_hundredth():
    assert pace(0, 0.0) == pytest.approx(1 / 30)
    assert pace(40, 0.3) == 1
    assert pace(5000, 0.65) == pytest.approx(0.505)
    assert pace(5000, 1.0) == pytest.approx(0.01)


def test_a_training_without_songs_says_what_makes_them(tmp_path):
    with start_training(tmp_path) as process:
        process.communicate()
    assert process.returncode == 2
    with pytest.raises(ValueError, match="generate makes them"):
        Library.at(tmp_path / "train")
