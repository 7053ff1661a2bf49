"""Training is one loop that can be killed at any step and goes on from its last checkpoint."""

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

from msaas_training import forms
from msaas_training.desk import Library, draw_batch
from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.songs import STEMS
from msaas_training.spectra import BINS, HOP, LOW_BINS
from msaas_training.spectral import spectral_loss
from msaas_training.widening import Weights, widened, width
from msaas_worker.separators.starter import Starter

#: What `starter` is; the export writes it beside the weights.
ARCHITECTURE: dict[str, Any] = {
    "channels": 32,
    "depth": 3,
    "dconv_comp": 4,
    "dconv_init": 0.1,
    "segment": Fraction(39, 5),
}
#: What may be trained on; each set has its own checkpoints.
SETS = ("train", "varied", "wide", "cast", "imagined", "shells")
_RATE = 4e-3
_WARM_UP_STEPS = 30
_FLAT_SHARE = 0.3
_CLIP = 1.0
_EMA = 0.995
_REFRESH_EVERY_STEPS = 100
#: The losses reported are those of low spectra.
_REPORT_EVERY_STEPS = 10
#: What lies above the low spectra is learnt from a sixth of the steps: it is a twentieth of the energy.
_WHOLE_EVERY_STEPS = 6


@dataclass(frozen=True)
class Plan:
    """How long to train, and with examples of how many frames, 1,024 samples each.

    The minutes are those of the steps alone. The seed is fixed, the step number continues it.
    """

    minutes: float
    batch: int
    frames: int
    device: str
    save_every_steps: int
    rate: float = _RATE
    #: Weights to begin with, as `export` writes them; without them it begins at random.
    start: Path | None = None
    seed: int = 3


class Run:
    """Weights, their moving average, the optimiser, and how far it has come."""

    def __init__(self, plan: Plan) -> None:
        self.model = begun(plan.start, seed=plan.seed).to(plan.device)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.step = 0
        self.trained_s = 0.0

    def load(self, path: Path) -> None:
        """Raises `ValueError`: the checkpoint is another model's."""
        state = checkpoint(path)
        for name in ("model", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.trained_s = state["step"], state["trained_s"]

    def save(self, path: Path) -> None:
        """Beside its place and then moved there: a kill leaves the old checkpoint or the new one."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser")}
        part = path.with_suffix(".part")
        torch.save(parts | {"step": self.step, "trained_s": self.trained_s}, part)
        part.replace(path)


def checkpoint(path: Path) -> dict[str, Any]:
    """What `Run.save` wrote. Raises `ValueError`: it is another model's."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if shapes(state["average"]) != shapes(of_width(ARCHITECTURE["channels"])):
        raise ValueError(f"{path} is of another model: move {path.parent} away to begin anew.")
    return state


def begun(start: Path | None, *, seed: int) -> Starter:
    """A model as training begins: random weights, and in their place those of a file, as far as it has any.

    Raises:
        ValueError: they are another model's.
    """
    torch.manual_seed(seed)
    model = Starter(list(STEMS), **ARCHITECTURE)
    if start:
        model.load_state_dict(given_by(start, own=model.state_dict()))
    return model


def given_by(path: Path, *, own: Weights) -> Weights:
    """The weights of a file in the shapes of `own`: an older form is said in this one, a narrower widened.

    Raises:
        ValueError: they are another model's.
    """
    given = forms.of_now(load_file(path), own=own)
    few, many = width(given), width(own)
    if few > many or shapes(given) != shapes(of_width(few)):
        raise ValueError(f"{path.name} has the weights of another model.")
    return widened(given, own=own) if few < many else given


def of_width(channels: int) -> Weights:
    return Starter(list(STEMS), **ARCHITECTURE | {"channels": channels}).state_dict() if channels else {}


def shapes(weights: Weights) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--set", choices=SETS, default=SETS[0], dest="set_name")
    parser.add_argument("--start", type=Path, help="weights to begin with, as `export` writes them")
    parser.add_argument("--rate", type=float, default=_RATE)
    parser.add_argument("--minutes", type=float, default=60.0, help="in all, over every restart")
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
        library = Library.at(given.cache / given.set_name)
    except ValueError as error:
        parser.error(str(error))
    train(library, folder=folder, plan=plan)


def train(library: Library, *, folder: Path, plan: Plan) -> Run:
    """Every tenth of the time a checkpoint is kept under its own name, to be chosen from later."""
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.pt"
    run = resumed(last, plan=plan) if last.exists() else Run(plan)
    for true in batches(library, plan=plan, step=run.step):
        share = run.trained_s / (plan.minutes * 60)
        if share >= 1:
            break
        started = time.monotonic()
        loss = train_step(run, true=true.to(plan.device), rate=plan.rate * pace(run.step, share))
        run.trained_s += time.monotonic() - started
        report(run, loss=loss, share=share, library=library)
        if run.step % plan.save_every_steps == 0:
            run.save(last)
        if int(share * 10) < int(run.trained_s / (plan.minutes * 6)):
            run.save(folder / f"step-{run.step:05d}.pt")
    run.save(last)
    print(f"step {run.step}: trained for {run.trained_s / 60:.1f} of {plan.minutes:g} min", flush=True)
    return run


def resumed(last: Path, *, plan: Plan) -> Run:
    """What a checkpoint has is gone on with, whatever weights the training began with."""
    run = Run(replace(plan, start=None))
    run.load(last)
    print(f"step {run.step}: goes on from {last}", flush=True)
    return run


def pace(step: int, share: float) -> float:
    """Warm up by steps, stay flat for a share of the time, then fall along a cosine."""
    fall = max(0.0, (share - _FLAT_SHARE) / (1 - _FLAT_SHARE))
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * (
        0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))
    )


def train_step(run: Run, *, true: torch.Tensor, rate: float) -> float:
    """One step on spectra `[batch, 4, 2, bins, frames]`."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad(set_to_none=True)
    loss = spectral_loss(run.model.train(), true)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), _CLIP)
    run.optimiser.step()
    run.step += 1
    follow(run.average, run.model, keep=min(_EMA, run.step / (run.step + 10)))
    return float(loss.detach())


@torch.no_grad()
def follow(average: Starter, model: Starter, *, keep: float) -> None:
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)


def batches(library: Library, *, plan: Plan, step: int) -> Iterator[torch.Tensor]:
    """The next batch is mixed while the last one is trained on; the step seeds it: a restart repeats none."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batch_of, step, library=library, plan=plan)
        while True:
            step += 1
            ready, coming = coming.result(), pool.submit(batch_of, step, library=library, plan=plan)
            yield ready


def batch_of(step: int, *, library: Library, plan: Plan) -> torch.Tensor:
    """The batch of a step: mostly low spectra, now and then a quarter as many whole ones."""
    if step % _REFRESH_EVERY_STEPS == 0:
        library.refresh()
    rng = np.random.default_rng([plan.seed, step])
    whole = step % _WHOLE_EVERY_STEPS == 0
    size, bins = (max(1, plan.batch // 4), BINS) if whole else (plan.batch, LOW_BINS)
    return draw_batch(library, rng=rng, size=size, frames=plan.frames, bins=bins)


def report(run: Run, *, loss: float, share: float, library: Library) -> None:
    if run.step % _REPORT_EVERY_STEPS == 0:
        spent = f"{run.trained_s / 60:.1f} min ({share:.0%})"
        print(f"step {run.step}: loss {loss:.4f}, {spent}, {len(library.songs)} songs", flush=True)


if __name__ == "__main__":
    main()
