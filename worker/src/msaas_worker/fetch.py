"""`python -m msaas_worker.fetch htdemucs --into DIR` makes a MODEL_REPO, so that no pod ever asks the hub."""

import argparse
import shutil
from pathlib import Path

from msaas.stems import MODELS
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.repository import read_bag


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    fetch(options.model, into=options.into, hub=Hub())


def fetch(model: str, *, into: Path, hub: Hub) -> None:
    """Copy the model's files; its yaml comes last, for it says that the others are there.

    Raises:
        OSError: the hub gave no answer.
        ModelUnavailable: what it gave is no model.
    """
    into.mkdir(parents=True, exist_ok=True)
    with hub.open(model) as from_hub:
        definition = from_hub(f"{model}.yaml")
        for signature in read_bag(definition)["models"]:
            shutil.copyfile(from_hub(f"{signature}.safetensors"), into / f"{signature}.safetensors")
        shutil.copyfile(definition, into / definition.name)


if __name__ == "__main__":
    main()
