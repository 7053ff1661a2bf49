"""Loads the models of demucs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from msaas.errors import ModelUnavailable
from msaas.logs import get_logger
from msaas.models import MODELS
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.demucs.repository import Repository, repository_of
from msaas_worker.separators.engine import BagSeparator, log_precision, make_runner
from msaas_worker.separators.families import LoadOptions
from msaas_worker.separators.htdemucs.support import htdemucs_network
from msaas_worker.separators.overlap_add import Runner
from msaas_worker.separators.weights import check_network, join_checksums, read_network, verify_checksum

#: The classes that a file of weights may name.
CLASSES = (HTDemucs, HDemucs, Demucs)

log = get_logger()


class DemucsFamily:
    """Implements `Family`."""

    def __init__(self, options: LoadOptions) -> None:
        self._options = options
        self._repository = Repository(options.repo, options.hub)

    def load(self, model: str) -> Separator:
        files = self._repository.find(model)
        bag = _make_bag(model, files.bag.get("weights"), networks=len(files.weights))
        checksums = [verify_checksum(path) for path in files.weights]
        runners = tuple(self._load_network(model, path, files.bag.get("segment")) for path in files.weights)
        for path, each in zip(files.weights, checksums, strict=True):
            if not each.is_verified:
                log.info("weights_unverified", model=model, file=path.name, reason="no checksum in its name")
        self._options.hub.drop_temporary_files(repository_of(model))
        separator = BagSeparator(
            model=model, bag=bag, runners=runners, weights_sha256=join_checksums(checksums)
        )
        log_precision(separator)
        return separator

    def is_present(self, model: str) -> bool:
        try:
            self._repository.find(model)
        except (ModelUnavailable, OSError):
            return False
        return True

    def fetch(self, model: str) -> None:
        self._repository.fetch(model)

    def _load_network(self, model: str, path: Path, segment: float | None) -> Runner:
        network = read_network(path, classes=CLASSES)
        check_network(model, network)
        _set_segment(network, segment)
        return make_runner(
            network,
            htdemucs_network(network),
            device=self._options.device,
            precision=self._options.precision,
        )


def open_family(options: LoadOptions) -> DemucsFamily:
    return DemucsFamily(options)


def _make_bag(model: str, weights: Sequence[Sequence[float]] | None, *, networks: int) -> Bag:
    stems = MODELS[model].stems
    if not weights:
        return Bag.of_equals(stems, networks=networks)
    if [len(row) for row in weights] != [len(stems)] * networks:
        raise ModelUnavailable(f"{model}.yaml lacks a weight for each stem of each network.")
    return Bag(stems, tuple(tuple(map(float, row)) for row in weights))


def _set_segment(network: Any, segment: float | None) -> None:
    """Give the network the bag's segment length in s. A transformer accepts at most that of its training."""
    if segment and (segment <= network.segment or not hasattr(network, "crosstransformer")):
        network.segment = segment
