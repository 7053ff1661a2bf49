"""HTDemucs models with seeded random weights, in a folder that the demucs CLI and the worker can load.

Random weights run as fast as trained ones, so speed and rounding can be measured without a download:

    python bench/random_htdemucs.py --out DIR           # htdemucs as published: 41.98 M parameters
    python bench/random_htdemucs.py --out DIR --bag     # htdemucs_ft: four of them, one for each stem
    python bench/random_htdemucs.py --out DIR --small   # the same network, 1 s segments, 40 ms a segment
    python bench/random_htdemucs.py --out DIR --loud    # residual branches at full strength
    demucs --repo DIR -n htdemucs song.mp3
"""

import argparse
import hashlib
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import yaml
from demucs.demucs import LayerScale as ConvolutionLayerScale
from demucs.htdemucs import HTDemucs
from demucs.transformer import LayerScale as TransformerLayerScale

STEMS = ("drums", "bass", "other", "vocals")

#: Configuration of the published `htdemucs`. The defaults of the class differ from it.
PUBLISHED: dict[str, Any] = {
    "sources": list(STEMS),
    "channels": 48,
    "depth": 4,
    "dconv_mode": 3,
    "dconv_comp": 8,
    "dconv_init": 1e-3,
    "bottom_channels": 512,
    "t_layers": 5,
    "t_heads": 8,
    "t_hidden_scale": 4.0,
    "t_dropout": 0.0,
    "t_norm_in": True,
    "t_norm_first": True,
    "t_norm_out": True,
    "t_layer_scale": True,
    "segment": Fraction(39, 5),
}
SMALL: dict[str, Any] = {
    **PUBLISHED,
    "channels": 8,
    "bottom_channels": 32,
    "t_heads": 4,
    "segment": Fraction(1),
}

#: Scale of the residual branches. Training begins with almost zero, where an error in them has no effect.
#: Trained models differ in this scale.
LOUD_RESIDUALS = (0.1, 0.5)


def random_htdemucs(
    configuration: dict[str, Any],
    *,
    seed: int,
    residual_scale: tuple[float, float] | None = None,
) -> HTDemucs:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HTDemucs(**configuration).eval()
        for module in model.modules() if residual_scale else ():
            if isinstance(module, ConvolutionLayerScale | TransformerLayerScale):
                torch.nn.init.uniform_(module.scale, *residual_scale)
    return model


def package(model: HTDemucs) -> bytes:
    """Return the file format of demucs: the class, its arguments and the weights in half precision."""
    args, kwargs = model._init_args_kwargs
    content = {
        "klass": type(model),
        "args": args,
        "kwargs": kwargs,
        "state": {name: value.half() for name, value in model.state_dict().items()},
        "training_args": {},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_repository(
    folder: Path,
    *,
    name: str,
    configuration: dict[str, Any],
    seed: int = 0,
    submodels: int = 1,
    residual_scale: tuple[float, float] | None = None,
) -> Path:
    """Write a MODEL_REPO with one bag. Each of several submodels makes one stem."""
    folder.mkdir(parents=True, exist_ok=True)
    signatures = []
    for index in range(submodels):
        content = package(random_htdemucs(configuration, seed=seed + index, residual_scale=residual_scale))
        checksum = hashlib.sha256(content).hexdigest()[:8]
        signatures.append(f"{name.replace('_', '')}{seed + index}")
        (folder / f"{signatures[-1]}-{checksum}.th").write_bytes(content)
    bag: dict[str, Any] = {"models": signatures}
    if submodels > 1:
        bag["weights"] = [[float(stem == model) for stem in range(len(STEMS))] for model in range(submodels)]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(bag), encoding="utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; created if missing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bag", action="store_true", help="htdemucs_ft: four models, one for each stem")
    parser.add_argument("--small", action="store_true", help="the same network at a size for tests")
    parser.add_argument("--loud", action="store_true", help="residual branches at full strength")
    options = parser.parse_args()
    folder = write_repository(
        options.out,
        name="htdemucs_ft" if options.bag else "htdemucs",
        configuration=SMALL if options.small else PUBLISHED,
        seed=options.seed,
        submodels=len(STEMS) if options.bag else 1,
        residual_scale=LOUD_RESIDUALS if options.loud else None,
    )
    print(*sorted(path.name for path in folder.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
