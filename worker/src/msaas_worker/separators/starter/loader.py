"""Loads the starter."""

from pathlib import Path

from msaas.models import MODELS, STARTER
from msaas_worker.separators import Precision, Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import BagSeparator, log_precision, make_runner
from msaas_worker.separators.families import LoadOptions, ModelMissing
from msaas_worker.separators.starter.model import Starter
from msaas_worker.separators.starter.network import starter_network
from msaas_worker.separators.weights import check_network, read_network, verify_checksum

WEIGHTS = Path(__file__).parent / f"{STARTER}.safetensors"


class StarterFamily:
    """Implements `Family`. The weights are part of the package."""

    def __init__(self, options: LoadOptions) -> None:
        self._options = options

    def load(self, model: str) -> Separator:
        device, precision = self._options.device, self._options.precision
        if (device, precision) == ("cpu", "auto"):
            # bfloat16 fails the probe of `auto` at each level of these weights, which takes seconds to show.
            precision = "exact"
        separator = load_starter(WEIGHTS, device=device, precision=precision)
        log_precision(separator)
        return separator

    def is_present(self, model: str) -> bool:
        return WEIGHTS.is_file()

    def fetch(self, model: str) -> None:
        _check_file(WEIGHTS)


def open_family(options: LoadOptions) -> StarterFamily:
    return StarterFamily(options)


def load_starter(weights: Path, *, device: str = "cpu", precision: Precision = "auto") -> BagSeparator:
    """Load the weights of the package, or those of a training. Raises `ModelUnavailable`."""
    _check_file(weights)
    checksum = verify_checksum(weights)
    network = read_network(weights, classes=(Starter,))
    check_network(STARTER, network)
    return BagSeparator(
        model=STARTER,
        bag=Bag.of_equals(MODELS[STARTER].stems, networks=1),
        runners=(make_runner(network, starter_network(network), device=device, precision=precision),),
        weights_sha256=checksum.sha256,
        adds_up=True,
    )


def _check_file(weights: Path) -> None:
    if not weights.is_file():
        raise ModelMissing(
            f"Model {STARTER} is not on this machine: {weights} is missing. Install the package again."
        )
