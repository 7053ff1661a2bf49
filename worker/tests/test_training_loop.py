"""The training of `starter`: resumable after a kill, and written as demucs reads it."""

import copy
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
from safetensors.torch import save_file

TRAINING = Path(__file__).parents[1] / "training"
sys.path.insert(0, str(TRAINING))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training.desk import Excerpt, Library, draw_batch, stretched  # noqa: E402
from msaas_training.export import mean_of, named, newest, write  # noqa: E402
from msaas_training.generate import FULL_SCALE  # noqa: E402
from msaas_training.metrics import sdr_db  # noqa: E402
from msaas_training.songs import STEMS  # noqa: E402
from msaas_training.spectra import BINS, HOP, LOW_BINS, WINDOW, keep_low, transformed  # noqa: E402
from msaas_training.train import ARCHITECTURE, Plan, Run, batch_of, begun, pace, train, train_step  # noqa: E402

from msaas_worker.separators.starter import Starter  # noqa: E402
from msaas_worker.separators.weights import read_model  # noqa: E402

SECOND = 44_100
FRAMES = 43


def songs_of_noise(folder: Path, *, count: int = 3, tracks: int = 4) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        np.save(folder / f"{index:04d}.npy", rng.integers(-9000, 9000, (tracks, 2, 4 * SECOND), np.int16))
    return folder


@pytest.fixture
def run() -> Run:
    plan = Plan(minutes=1, batch=1, frames=FRAMES, device="cpu", save_every_steps=1)
    return Run(plan)


def noise(*, bins: int) -> torch.Tensor:
    shape = (1, 4, 2, bins, FRAMES)
    return torch.randn(shape, dtype=torch.complex64, generator=torch.manual_seed(2)) * 0.1


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
    state["model"]["start"] = torch.zeros(1, 8, 1, 1)
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt is of another model"):
        run.load(tmp_path / "last.pt")


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


def test_training_goes_on_from_weights(run, tmp_path):
    train_step(run, true=noise(bins=LOW_BINS), rate=1e-3)
    write(run.model, path=tmp_path / "starter.safetensors")
    start = tmp_path / "starter.safetensors"
    second = Run(Plan(1, 1, FRAMES, "cpu", 1, start=start, seed=9))
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value.half().float())


def with_a_silent_level() -> tuple[Starter, dict[str, torch.Tensor]]:
    """A model of four levels, the innermost of them silent, and its weights as such a file had them."""
    model = Starter(list(STEMS), **ARCHITECTURE | {"depth": 4})
    for layer in list(model.context)[:3]:
        layer.last.reset_parameters()
    closed = model.decoder[0].rewrite.bias.data
    closed[len(closed) // 2 :] = -1e4
    torch.nn.init.uniform_(model.decoder[0].conv_tr.bias, -0.7, 0.5)
    return model.eval(), {name: value for name, value in model.state_dict().items() if name != "start"}


@pytest.mark.parametrize("context", [True, False], ids=["with context", "of before it"])
@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_weights_with_the_silent_level_become_the_same_function_without_it(tmp_path, context, bins):
    four, file = with_a_silent_level()
    if not context:
        file = {name: value for name, value in file.items() if not name.startswith("context.")}
        for parameter in four.context.parameters():
            torch.nn.init.zeros_(parameter)
    save_file(file, tmp_path / "four.safetensors")
    three = begun(tmp_path / "four.safetensors", seed=3).eval()
    maps = torch.randn(1, 4, bins, 20, generator=torch.manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(three.answers(maps), four.answers(maps), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        {"encoder.0.conv.weight": None},
        {"context.0.first.weight": None},
        {"tencoder.0.conv.weight": torch.zeros(1)},
        {"encoder.0.conv.weight": torch.zeros(64, 4, 8, 1)},
    ],
    ids=["the first layer lacks", "half of the context lacks", "a layer too many", "another width"],
)
def test_weights_of_another_model_are_refused(run, tmp_path, other):
    weights = run.model.state_dict() | other
    save_file({n: v for n, v in weights.items() if v is not None}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another model"):
        begun(tmp_path / "other.safetensors", seed=3)


def test_what_is_exported_is_what_the_worker_loads(run, tmp_path):
    path = tmp_path / "starter.safetensors"
    write(run.model, path=path)
    loaded = read_model(path)
    assert loaded.sources == ["drums", "bass", "other", "vocals"]
    assert loaded.segment == ARCHITECTURE["segment"]
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())


def test_a_mean_lies_between_weights_and_what_is_named_twice_counts_twice(run):
    one, other = copy.deepcopy(run.model), run.model
    train_step(run, true=noise(bins=LOW_BINS), rate=1e-2)
    wanted = {name: (value + 2 * other.state_dict()[name]) / 3 for name, value in one.state_dict().items()}
    assert any(not torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in wanted)
    for name, value in mean_of([one, other, other]).state_dict().items():
        torch.testing.assert_close(value, wanted[name])


def test_a_checkpoint_is_chosen_from_the_newest_that_were_kept_and_none_twice(tmp_path):
    assert not newest(tmp_path, count=3)
    for age, name in enumerate(("last", "step-00009", "step-00010", "step-00008", "step-00011")):
        (tmp_path / f"{name}.pt").touch()
        os.utime(tmp_path / f"{name}.pt", (100 - age, 100 - age))
        if age == 0:
            assert [path.stem for path in newest(tmp_path, count=3)] == ["last"]
    assert [path.stem for path in newest(tmp_path, count=3)] == ["step-00008", "step-00010", "step-00009"]


@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_every_take_of_the_vocals_is_heard_and_only_of_the_vocals(tmp_path, bins):
    folder = songs_of_noise(tmp_path / "train", count=1, tracks=6)
    song = folder / "0000.npy"
    levels = np.array([1, 2, 3, 4, 5, 6], np.int16)
    np.save(song, levels[:, None, None] * (np.load(song) // 8))
    library, rng = Library.at(folder), np.random.default_rng(6)
    takes = {library.pick(rng, frames=FRAMES).take for _ in range(40)}
    assert takes == {0, 1, 2}
    loud = [
        [
            float(
                library.spectrum(Excerpt(0, first=9, take=take), stem=stem, frames=FRAMES, bins=bins)
                .abs()
                .square()
                .mean()
            )
            for stem in range(4)
        ]
        for take in range(3)
    ]
    ratios = np.sqrt(np.array(loud) / loud[0][0])
    np.testing.assert_allclose(ratios, [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 6]], rtol=0.05)


@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_two_batches_of_one_library_are_never_alike(tmp_path, bins):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    one, other = (
        draw_batch(library, rng=np.random.default_rng(seed), size=2, frames=FRAMES, bins=bins)
        for seed in (1, 2)
    )
    assert one.shape == (2, 4, 2, bins, FRAMES)
    assert all(alike(*stems) < 0.1 for stems in zip(one.flatten(0, 1), other.flatten(0, 1), strict=True))


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    """The correlation of two stems, sides exchanged or not; a muted one is like no other."""
    both = (torch.vdot(one.ravel(), sides.ravel()).abs() for sides in (other, other.flip(0)))
    return max(map(float, both)) / (float(one.norm() * other.norm()) + 1e-9)


def test_a_sixth_of_the_batches_are_whole_spectra_and_a_quarter_as_many(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    plan = Plan(minutes=1, batch=8, frames=FRAMES, device="cpu", save_every_steps=1)
    shapes = [batch_of(step, library=library, plan=plan).shape for step in range(7)]
    low, whole = (8, 4, 2, LOW_BINS, FRAMES), (2, 4, 2, BINS, FRAMES)
    assert [tuple(shape) for shape in shapes] == [whole, low, low, low, low, low, whole]


def test_half_of_the_examples_are_as_loud_as_their_songs(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    power = torch.from_numpy(np.load(library.low[0]).astype(np.float32)).square().sum(-1).mean()
    batch = draw_batch(library, rng=np.random.default_rng(5), size=80, frames=FRAMES, bins=LOW_BINS)
    loudness = batch.abs().square().mean((2, 3, 4)) / power
    unaltered = ((loudness - 1).abs() < 0.06).all(1).sum()
    assert 28 <= int(unaltered) <= 52


def test_a_low_spectrum_is_the_lower_part_of_the_whole_one(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train", count=1))
    excerpt = Excerpt(0, first=20, take=0)
    whole = library.spectrum(excerpt, stem=1, frames=FRAMES, bins=BINS)
    kept = library.spectrum(excerpt, stem=1, frames=FRAMES, bins=LOW_BINS)
    # At its ends an excerpt of a wave has no neighbours to overlap with.
    inner = slice(2, -2)
    torch.testing.assert_close(kept[..., inner], whole[:, :LOW_BINS, inner], rtol=0, atol=2e-3)


def test_spectra_are_those_of_demucs(run):
    assert (run.model.nfft, run.model.hop_length, run.model.nfft // 2) == (WINDOW, HOP, BINS)
    noise = np.random.default_rng(4).integers(-9000, 9000, (2, SECOND), np.int16)
    theirs = run.model._spec(torch.from_numpy(noise / np.float32(FULL_SCALE)))
    # Theirs begin half a hop later; at the ends both mirror what they have.
    ours, inner = transformed(noise[:, HOP // 2 :]), slice(4, 36)
    torch.testing.assert_close(ours[..., inner], theirs[..., inner], rtol=1e-4, atol=1e-4)


def test_a_low_spectrum_is_made_again_when_its_song_is_newer(tmp_path):
    (song,) = songs_of_noise(tmp_path / "train", count=1).glob("*.npy")
    kept = keep_low(song)
    made = kept.stat().st_mtime_ns
    assert keep_low(song).stat().st_mtime_ns == made
    os.utime(song, ns=(made + 10**9, made + 10**9))
    assert keep_low(song).stat().st_mtime_ns != made


def test_a_stretched_tone_is_another_tone():
    tone = torch.zeros(2, LOW_BINS, FRAMES, dtype=torch.complex64)
    tone[:, 100] = 1
    assert int(stretched(tone, ratio=1.19).abs().sum((0, 2)).argmax()) == 119
    assert int(stretched(tone, ratio=0.84).abs().sum((0, 2)).argmax()) == 84


def test_a_training_without_songs_says_what_makes_them(tmp_path):
    with start_training(tmp_path) as process:
        process.communicate()
    assert process.returncode == 2
    with pytest.raises(ValueError, match="generate makes them"):
        Library.at(tmp_path / "train")


def test_songs_that_arrive_while_training_runs_are_used(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train", count=1))
    np.save(tmp_path / "train" / "late.npy", np.zeros((4, 2, 4 * SECOND), np.int16))
    plan = Plan(1, 1, FRAMES, "cpu", 1)
    batch_of(99, library=library, plan=plan)
    assert len(library.songs) == 1
    batch_of(100, library=library, plan=plan)
    assert len(library.songs) == 2


def test_a_tenth_of_noise_is_twenty_decibels():
    rng = np.random.default_rng(3)
    true = rng.standard_normal((2, SECOND))
    assert sdr_db(true, true + 0.1 * rng.standard_normal((2, SECOND))) == pytest.approx(20, abs=0.1)


def test_a_mean_may_take_weights_that_were_written_before(run, tmp_path):
    write(run.model, path=tmp_path / "before.safetensors")
    given = named(str(tmp_path / "before.safetensors"), folder=tmp_path).state_dict()
    assert given.keys() == run.model.state_dict().keys()
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(given[name], value.half().float(), rtol=0, atol=0)


def test_a_mean_may_take_weights_of_an_older_form(run, tmp_path):
    _, file = with_a_silent_level()
    save_file(file, tmp_path / "older.safetensors")
    given = named(str(tmp_path / "older.safetensors"), folder=tmp_path).state_dict()
    assert given.keys() == run.model.state_dict().keys()
    torch.testing.assert_close(given["encoder.2.conv.weight"], file["encoder.2.conv.weight"])
