"""A checkpoint is chosen by voices it never heard, and written as the worker's `starter`."""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from msaas_training.generate import ensure, read
from msaas_training.metrics import sdr_db
from msaas_training.served import served
from msaas_training.songs import STEMS
from msaas_training.train import ARCHITECTURE, SETS, Plan, begun, checkpoint
from msaas_worker.separators.library import load_starter
from msaas_worker.separators.starter import Starter

WEIGHTS = Path(__file__).parents[2] / "src/msaas_worker/separators/starter/starter.safetensors"
_CHOOSING_SONGS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--set", choices=SETS, default=SETS[0], dest="set_name", help="trained on")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--latest", type=int, default=3, help="how many of the newest checkpoints to choose from"
    )
    parser.add_argument(
        "--mean-of",
        nargs="+",
        metavar="CHECKPOINT",
        help="write their mean; one named twice counts twice, a file may be one that was written before",
    )
    given = parser.parse_args()
    torch.set_num_threads(2)
    songs = [read(path) for path in ensure(given.cache, set_name="choose", songs=_CHOOSING_SONGS)]
    folder = given.cache / "checkpoints" / given.set_name
    if given.mean_of:
        models = {"mean": mean_of([named(name, folder=folder) for name in given.mean_of])}
    else:
        models = {path.name: averaged(path) for path in newest(folder, count=given.latest)}
    if not models:
        parser.error(f"there is no checkpoint in {folder}")
    scores = {name: chosen_by(name, model, songs) for name, model in models.items()}
    best = max(scores, key=lambda name: scores[name])
    write(models[best], path=given.weights)
    print(f"{best}: {given.weights.stat().st_size} bytes, SHA-256 {digest(given.weights)}")


def newest(folder: Path, *, count: int) -> list[Path]:
    """Of those kept under their own names; a training that has none yet has its last one."""
    kept = list(folder.glob("step-*.pt")) or list(folder.glob("last.pt"))
    return sorted(kept, key=lambda path: path.stat().st_mtime)[-count:]


def named(name: str, *, folder: Path) -> Starter:
    """A checkpoint of the folder, or weights in a file as training begins with them: older ones, too."""
    if not name.endswith(WEIGHTS.suffix):
        return averaged(folder / f"{name}.pt")
    return begun(Path(name), seed=Plan.seed).eval()


def averaged(path: Path) -> Starter:
    """Raises `ValueError`: the checkpoint is another model's."""
    model = Starter(list(STEMS), **ARCHITECTURE)
    model.load_state_dict(checkpoint(path)["average"])
    return model.eval()


def mean_of(models: Sequence[Starter]) -> Starter:
    """What lies between weights of one training (a soup, Wortsman et al. 2022); one given twice counts so."""
    states, mean = [model.state_dict() for model in models], copy.deepcopy(models[0])
    mean.load_state_dict({name: sum(s[name] for s in states) / len(states) for name in states[0]})
    return mean


def chosen_by(name: str, model: Starter, songs: list[np.ndarray]) -> float:
    """Mean over the stems of the median SDR on songs whose singers the training never heard."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS.name
        write(model, path=weights)
        engine = load_starter(weights, device="cpu", precision="exact")
    sdr = []
    for stems in songs:
        estimates = served(stems.sum(0), by=engine)
        sdr.append([sdr_db(true, estimate) for true, estimate in zip(stems, estimates, strict=True)])
    medians = np.median(sdr, axis=0)
    print(
        name,
        dict(zip(STEMS, medians.round(2).tolist(), strict=True)),
        f"mean {medians.mean():.2f} dB",
        flush=True,
    )
    return float(medians.mean())


def write(model: Starter, *, path: Path) -> None:
    """The layout `demucs.hf.load_safetensors_model` reads: tensors, and how to build the model as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {
        "klass": f"{Starter.__module__}.{Starter.__qualname__}",
        "args": json.dumps([]),
        "kwargs": json.dumps({"sources": list(STEMS), **ARCHITECTURE}, default=encoded),
        "licence": "MIT",
    }
    save_file(tensors, path, metadata)


def encoded(value: Any) -> dict[str, Any]:
    if isinstance(value, Fraction):
        return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
    raise TypeError(value)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
