"""Chooses a checkpoint by validation songs and writes it as the `starter` weights of the worker."""

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
from numpy.typing import NDArray
from safetensors.torch import save_file

from msaas_training.generate import ensure_songs, read_song
from msaas_training.metrics import sdr_db
from msaas_training.separation import separate
from msaas_training.songs import STEMS
from msaas_training.train import ARCHITECTURE, SETS, Plan, build_model, read_checkpoint
from msaas_worker.separators.starter import Starter
from msaas_worker.separators.starter.loader import WEIGHTS, load_starter

_VALIDATION_SONGS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--set", choices=SETS, default=SETS[0], dest="set_name", help="the training set")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--latest", type=int, default=3, help="number of latest checkpoints to choose from, default: 3"
    )
    parser.add_argument(
        "--mean-of",
        nargs="+",
        metavar="CHECKPOINT",
        help="write the mean of these checkpoints or .safetensors files; a repeated name counts twice",
    )
    given = parser.parse_args()
    torch.set_num_threads(2)
    songs = [
        read_song(path) for path in ensure_songs(given.cache, set_name="choose", songs=_VALIDATION_SONGS)
    ]
    folder = given.cache / "checkpoints" / given.set_name
    if given.mean_of:
        models = {"mean": average_models([load_model(name, folder=folder) for name in given.mean_of])}
    else:
        models = {path.name: load_average(path) for path in latest_checkpoints(folder, count=given.latest)}
    if not models:
        parser.error(
            f"There are no checkpoints in {folder}. Make them with `python -m msaas_training.train`."
        )
    scores = {name: score_model(name, model, songs) for name, model in models.items()}
    best = max(scores, key=lambda name: scores[name])
    write_weights(models[best], path=given.weights)
    print(f"{best}: {given.weights.stat().st_size} bytes, SHA-256 {sha256_of(given.weights)}")


def latest_checkpoints(folder: Path, *, count: int) -> list[Path]:
    """Return the latest named checkpoints, or the last checkpoint if there are none."""
    kept = list(folder.glob("step-*.pt")) or list(folder.glob("last.pt"))
    return sorted(kept, key=lambda path: path.stat().st_mtime)[-count:]


def load_model(name: str, *, folder: Path) -> Starter:
    """Load a checkpoint of the folder, or a `.safetensors` file in any supported format."""
    if not name.endswith(WEIGHTS.suffix):
        return load_average(folder / f"{name}.pt")
    return build_model(Path(name), seed=Plan.seed).eval()


def load_average(path: Path) -> Starter:
    """Load the averaged weights of a checkpoint.

    Raises:
        ValueError: the checkpoint belongs to another architecture.
    """
    model = Starter(list(STEMS), **ARCHITECTURE)
    model.load_state_dict(read_checkpoint(path)["average"])
    return model.eval()


def average_models(models: Sequence[Starter]) -> Starter:
    """Return the mean of the weights (model soup, Wortsman et al. 2022). Repeated models count twice."""
    states, mean = [model.state_dict() for model in models], copy.deepcopy(models[0])
    mean.load_state_dict({name: sum(s[name] for s in states) / len(states) for name in states[0]})
    return mean


def score_model(name: str, model: Starter, songs: list[NDArray[np.float32]]) -> float:
    """Return the validation score: the mean over stems of the median SDR, in dB."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS.name
        write_weights(model, path=weights)
        engine = load_starter(weights, device="cpu", precision="exact")
    sdr = []
    for stems in songs:
        estimates = separate(stems.sum(0), separator=engine)
        sdr.append([sdr_db(true, estimate) for true, estimate in zip(stems, estimates, strict=True)])
    medians = np.median(sdr, axis=0)
    print(
        name,
        dict(zip(STEMS, medians.round(2).tolist(), strict=True)),
        f"mean {medians.mean():.2f} dB",
        flush=True,
    )
    return float(medians.mean())


def write_weights(model: Starter, *, path: Path) -> None:
    """Write weights and constructor arguments in the format of `demucs.hf.load_safetensors_model`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {
        "klass": f"{Starter.__module__}.{Starter.__qualname__}",
        "args": json.dumps([]),
        "kwargs": json.dumps({"sources": list(STEMS), **ARCHITECTURE}, default=encode_fraction),
        "licence": "MIT",
    }
    save_file(tensors, path, metadata)


def encode_fraction(value: Any) -> dict[str, Any]:
    if isinstance(value, Fraction):
        return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
    raise TypeError(value)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
