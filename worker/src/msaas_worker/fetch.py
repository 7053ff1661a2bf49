"""`python -m msaas_worker.fetch htdemucs --into DIR` downloads a model into a folder for MODEL_REPO."""

import argparse
import shutil
import sys
from pathlib import Path

from msaas.errors import ModelUnavailable, UnknownModel
from msaas.models import MODELS, parse_model
from msaas_worker.separators.demucs.repository import download
from msaas_worker.separators.hub import Hub


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m msaas_worker.fetch", description=__doc__)
    parser.add_argument("model", type=_model_on_the_hub)
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    hub = Hub()
    try:
        fetch(options.model, into=options.into, hub=hub)
    except (OSError, ModelUnavailable) as error:
        sys.exit(f"Model {options.model} was not fetched from {hub.endpoint}: {error}")


def _model_on_the_hub(name: str) -> str:
    try:
        model = parse_model(name)
    except UnknownModel as error:
        raise argparse.ArgumentTypeError(error.detail) from None
    if MODELS[model].family != "demucs":
        raise argparse.ArgumentTypeError(f"Model {model} is not on the hub.")
    return model


def fetch(model: str, *, into: Path, hub: Hub) -> None:
    """Copy the model's files into the folder. The definition comes last, so that an aborted copy is not used.

    Raises:
        OSError: the hub did not deliver a file, or the folder cannot be written.
        ModelUnavailable: the hub delivered an invalid definition.
    """
    into.mkdir(parents=True, exist_ok=True)
    files = download(model, hub)
    for path in (*files.weights, files.definition):
        shutil.copyfile(path, into / path.name)
    hub.drop_temporary_files()


if __name__ == "__main__":
    main()
