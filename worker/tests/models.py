"""Tiny HTDemucs models with seeded random weights, in the file formats of demucs."""

import hashlib
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import yaml
from demucs.htdemucs import HTDemucs
from safetensors.torch import save

STEMS = ["drums", "bass", "other", "vocals"]
_TINY: dict[str, Any] = {
    "sources": STEMS,
    "channels": 4,
    "depth": 4,
    "dconv_mode": 1,
    "dconv_comp": 2,
    "bottom_channels": 8,
    "t_layers": 1,
    "t_heads": 2,
    "segment": Fraction(1, 2),
}


def tiny(*, seed: int = 0, **changes: Any) -> HTDemucs:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: HTDemucs = HTDemucs(**{**_TINY, **changes})
    model.eval()
    return model


def _init_arguments(model: Any) -> tuple[Any, Any]:
    args, kwargs = model._init_args_kwargs
    return args, kwargs


def as_th(model: HTDemucs, **changes: Any) -> bytes:
    args, kwargs = _init_arguments(model)
    package = {"klass": type(model), "args": args, "kwargs": kwargs, "state": model.state_dict(), **changes}
    buffer = io.BytesIO()
    torch.save({**package, "training_args": {}}, buffer)
    return buffer.getvalue()


def as_safetensors(model: HTDemucs, **changes: str) -> bytes:
    """Return the format of the hub: class and arguments as JSON in the metadata."""
    args, kwargs = _init_arguments(model)
    segment = kwargs["segment"]
    fraction = {"_type": "fraction", "numerator": segment.numerator, "denominator": segment.denominator}
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": json.dumps(args),
        "kwargs": json.dumps({**kwargs, "segment": fraction}),
    }
    return save({key: value.clone() for key, value in model.state_dict().items()}, {**metadata, **changes})


def write_repo(
    folder: Path, models: list[HTDemucs], *, name: str = "htdemucs", weights: list[list[float]] | None = None
) -> Path:
    """Write a MODEL_REPO that demucs itself can read."""
    folder.mkdir(parents=True, exist_ok=True)
    signatures = []
    for index, model in enumerate(models):
        content = as_th(model)
        signatures.append(f"sig{index}")
        (folder / f"sig{index}-{hashlib.sha256(content).hexdigest()[:8]}.th").write_bytes(content)
    bag: dict[str, Any] = {"models": signatures}
    if weights:
        bag["weights"] = weights
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(bag))
    return folder
