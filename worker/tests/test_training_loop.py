"""The training of `starter`: resumable after a kill, true to demucs, and written as demucs reads it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

TRAINING = Path(__file__).parents[1] / "training"
sys.path.insert(0, str(TRAINING))
pytest.importorskip("scipy")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from demucs.hf import load_safetensors_model  # noqa: E402
from msaas_training.desk import Library, draw_batch  # noqa: E402
from msaas_training.export import write  # noqa: E402
from msaas_training.metrics import sdr_db  # noqa: E402
from msaas_training.spectral import magnitudes, silence_time_half  # noqa: E402
from msaas_training.train import ARCHITECTURE, Plan, Run, train_step  # noqa: E402

SECOND = 44_100


def songs_of_noise(folder: Path, *, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        np.save(folder / f"{index:04d}.npy", rng.integers(-9000, 9000, (4, 2, 4 * SECOND), np.int16))
    return folder


@pytest.fixture
def run() -> Run:
    plan = Plan(minutes=1, batch=1, example_s=1.0, device="cpu", save_every_steps=1)
    return Run(plan)


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
    last = tmp_path / "checkpoints" / "last.pt"
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
        report = second.stdout.readline()
    finally:
        second.kill()
        second.communicate()
    step = re.match(r"step (\d+)", report)
    assert step is not None
    assert int(step[1]) >= reached


def test_the_spectral_half_is_what_demucs_computes(run):
    mixture = torch.randn(1, 2, 2 * SECOND, generator=torch.manual_seed(1))
    mixture -= mixture.mean()
    model = run.model.eval()
    model.use_train_segment = False
    with torch.no_grad():
        spectrum = model._spec(mixture)
        halves = model._ispec(model._mask(spectrum, magnitudes(model, spectrum.abs())), mixture.shape[-1])
        torch.testing.assert_close(halves, model(mixture), rtol=1e-4, atol=1e-4)


def test_a_step_on_one_example_makes_it_fit_better(run):
    stems = torch.randn(1, 4, 2, SECOND, generator=torch.manual_seed(2)) * 0.1
    losses = [train_step(run, stems=stems, rate=1e-3) for _ in range(4)]
    assert losses[-1] < losses[0]


def test_the_time_half_adds_nothing(run):
    silence_time_half(run.model)
    assert float(run.model.tdecoder[-1].conv_tr(torch.randn(1, 8, 100)).detach().abs().max()) == 0


def test_a_checkpoint_gives_back_every_number(run, tmp_path):
    train_step(run, stems=torch.randn(1, 4, 2, SECOND), rate=1e-3)
    run.save(tmp_path / "last.pt")
    other = Run(Plan(1, 1, 1.0, "cpu", 1, seed=9))
    other.load(tmp_path / "last.pt")
    assert other.step == 1
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[name], value)


def test_what_is_exported_is_what_demucs_loads(run, tmp_path):
    path = tmp_path / "starter.safetensors"
    write(run.model, path=path)
    loaded = load_safetensors_model(path)
    assert loaded.sources == ["drums", "bass", "other", "vocals"]
    assert loaded.segment == ARCHITECTURE["segment"]
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())


def test_two_batches_of_one_library_are_never_alike(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    one, other = (
        draw_batch(library, rng=np.random.default_rng(seed), size=2, samples=SECOND) for seed in (1, 2)
    )
    assert one.shape == (2, 4, 2, SECOND)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.2


def test_songs_that_arrive_while_training_runs_are_used(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train", count=1))
    np.save(tmp_path / "train" / "late.npy", np.zeros((4, 2, SECOND), np.int16))
    library.refresh()
    assert len(library.songs) == 2


def test_a_tenth_of_noise_is_twenty_decibels():
    rng = np.random.default_rng(3)
    true = rng.standard_normal((2, SECOND))
    assert sdr_db(true, true + 0.1 * rng.standard_normal((2, SECOND))) == pytest.approx(20, abs=0.1)
