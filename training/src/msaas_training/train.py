"""Trains the `starter` model. A killed run resumes from its last checkpoint."""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from msaas_training import legacy_weights
from msaas_training.loss import spectral_loss
from msaas_training.mixing import Dataset, draw_batch
from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.songs import STEMS
from msaas_training.spectra import BINS, HOP, LOW_BINS
from msaas_training.widening import Weights, widen, width
from msaas_worker.separators.starter import Starter

#: Arguments of `Starter`. `export` writes them next to the weights.
ARCHITECTURE: dict[str, Any] = {
    "channels": 32,
    "depth": 3,
    "dconv_comp": 4,
    "dconv_init": 0.1,
    "segment": Fraction(39, 5),
}
#: Training sets. Each has its own checkpoints.
SETS = ("train", "varied", "wide", "cast", "imagined", "shells")
_RATE = 4e-3
_WARM_UP_STEPS = 30
_CONSTANT_SHARE = 0.3
_CLIP = 1.0
_EMA = 0.995
_REFRESH_EVERY_STEPS = 100
#: Losses of steps with low spectra are reported.
_REPORT_EVERY_STEPS = 10
#: One step in six uses full spectra. The frequencies above the low spectra hold 1/20 of the energy.
_WHOLE_EVERY_STEPS = 6


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a training run. A frame is 1,024 samples.

    `minutes` counts training steps only. The seed of a batch is `seed` and its step number.
    """

    minutes: float
    batch: int
    frames: int
    device: str
    save_every_steps: int
    rate: float = _RATE
    #: Initial weights, a file written by `export`. None starts from random weights.
    start: Path | None = None
    seed: int = 3


class Run:
    """State of a training run: weights, their moving average, the optimiser, steps and time."""

    def __init__(self, plan: Plan) -> None:
        self.model = build_model(plan.start, seed=plan.seed).to(plan.device)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.step = 0
        self.trained_s = 0.0

    def load(self, path: Path) -> None:
        """Load a checkpoint.

        Raises:
            ValueError: the checkpoint belongs to another architecture.
        """
        state = read_checkpoint(path)
        for name in ("model", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.trained_s = state["step"], state["trained_s"]

    def save(self, path: Path) -> None:
        """Write a checkpoint to a temporary file and rename it, so that a kill cannot damage it."""
        states = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser")}
        partial = path.with_suffix(".part")
        torch.save(states | {"step": self.step, "trained_s": self.trained_s}, partial)
        partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that `Run.save` wrote.

    Raises:
        ValueError: the checkpoint belongs to another architecture.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if shapes(state["average"]) != shapes(starter_weights(ARCHITECTURE["channels"])):
        raise ValueError(f"{path} belongs to another architecture. Move {path.parent} away to start again.")
    return state


def build_model(start: Path | None, *, seed: int) -> Starter:
    """Build a model with random weights, or with the weights of a file.

    Raises:
        ValueError: the file has the weights of another architecture.
    """
    torch.manual_seed(seed)
    model = Starter(list(STEMS), **ARCHITECTURE)
    if start:
        model.load_state_dict(read_weights(start, own=model.state_dict()))
    return model


def read_weights(path: Path, *, own: Weights) -> Weights:
    """Read weights in the shapes of `own`. Legacy formats are converted, narrower models are widened.

    Raises:
        ValueError: the file has the weights of another architecture.
    """
    weights = legacy_weights.convert(load_file(path), own=own)
    old_width, new_width = width(weights), width(own)
    if old_width > new_width or shapes(weights) != shapes(starter_weights(old_width)):
        raise ValueError(f"{path.name} has the weights of another architecture.")
    return widen(weights, own=own) if old_width < new_width else weights


def starter_weights(channels: int) -> Weights:
    return Starter(list(STEMS), **ARCHITECTURE | {"channels": channels}).state_dict() if channels else {}


def shapes(weights: Weights) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--set", choices=SETS, default=SETS[0], dest="set_name")
    parser.add_argument("--start", type=Path, help="initial weights, a .safetensors file written by `export`")
    parser.add_argument("--rate", type=float, default=_RATE)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="total training time over all restarts, default: 60"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--example-seconds", type=float, default=3.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-every-steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plan = Plan(
        minutes=given.minutes,
        batch=given.batch,
        frames=round(given.example_seconds * SAMPLE_RATE_HZ / HOP),
        device=given.device,
        save_every_steps=given.save_every_steps,
        rate=given.rate,
        start=given.start,
    )
    folder = given.cache / "checkpoints" / given.set_name
    try:
        dataset = Dataset.open(given.cache / given.set_name)
    except ValueError as error:
        parser.error(str(error))
    train(dataset, folder=folder, plan=plan)


def train(dataset: Dataset, *, folder: Path, plan: Plan) -> Run:
    """Train for the planned time and write checkpoints.

    Each tenth of the time a checkpoint gets its own name, as a candidate for `export`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.pt"
    run = resume(last, plan=plan) if last.exists() else Run(plan)
    for true in batches(dataset, plan=plan, step=run.step):
        share = run.trained_s / (plan.minutes * 60)
        if share >= 1:
            break
        started = time.monotonic()
        loss = train_step(run, true=true.to(plan.device), rate=plan.rate * rate_factor(run.step, share))
        run.trained_s += time.monotonic() - started
        report(run, loss=loss, share=share, dataset=dataset)
        if run.step % plan.save_every_steps == 0:
            run.save(last)
        if int(share * 10) < int(run.trained_s / (plan.minutes * 6)):
            run.save(folder / f"step-{run.step:05d}.pt")
    run.save(last)
    print(f"step {run.step}: trained for {run.trained_s / 60:.1f} of {plan.minutes:g} min", flush=True)
    return run


def resume(last: Path, *, plan: Plan) -> Run:
    """Continue from a checkpoint. The initial weights of the plan are not needed."""
    run = Run(replace(plan, start=None))
    run.load(last)
    print(f"step {run.step}: resumed from {last}", flush=True)
    return run


def rate_factor(step: int, share: float) -> float:
    """Return the learning rate factor: linear warm-up, constant, then a cosine down to 0.01."""
    decay = max(0.0, (share - _CONSTANT_SHARE) / (1 - _CONSTANT_SHARE))
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * (
        0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, decay)))
    )


def train_step(run: Run, *, true: torch.Tensor, rate: float) -> float:
    """Train on the spectra of one batch, `[batch, 4, 2, bins, frames]`, and return the loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad(set_to_none=True)
    loss = spectral_loss(run.model.train(), true)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), _CLIP)
    run.optimiser.step()
    run.step += 1
    update_average(run.average, run.model, keep=min(_EMA, run.step / (run.step + 10)))
    return float(loss.detach())


@torch.no_grad()
def update_average(average: Starter, model: Starter, *, keep: float) -> None:
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)


def batches(dataset: Dataset, *, plan: Plan, step: int) -> Iterator[torch.Tensor]:
    """Yield batches from step `step` on. A thread prepares the next one."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw_step, step, dataset=dataset, plan=plan)
        while True:
            step += 1
            ready, pending = pending.result(), pool.submit(draw_step, step, dataset=dataset, plan=plan)
            yield ready


def draw_step(step: int, *, dataset: Dataset, plan: Plan) -> torch.Tensor:
    """Draw the batch of a step: low spectra, or every sixth step a quarter as many full spectra."""
    if step % _REFRESH_EVERY_STEPS == 0:
        dataset.refresh()
    rng = np.random.default_rng([plan.seed, step])
    is_whole = step % _WHOLE_EVERY_STEPS == 0
    size, bins = (max(1, plan.batch // 4), BINS) if is_whole else (plan.batch, LOW_BINS)
    return draw_batch(dataset, rng=rng, size=size, frames=plan.frames, bins=bins)


def report(run: Run, *, loss: float, share: float, dataset: Dataset) -> None:
    if run.step % _REPORT_EVERY_STEPS == 0:
        spent = f"{run.trained_s / 60:.1f} min ({share:.0%})"
        print(f"step {run.step}: loss {loss:.4f}, {spent}, {len(dataset.songs)} songs", flush=True)


if __name__ == "__main__":
    main()
