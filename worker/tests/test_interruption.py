"""Work that is not wanted any more ends between two layers of a network, in each of its threads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bench.random_htdemucs import SMALL, random_htdemucs
from worker.tests.models import tiny

from msaas.errors import LeaseLost
from msaas_worker.interruption import check_interruption, interruptible
from msaas_worker.job.outputs import WatchedFile
from msaas_worker.separators.htdemucs.preparation import prepare
from msaas_worker.separators.htdemucs.support import htdemucs_network

pytestmark = pytest.mark.slow
Forward = Callable[[torch.Tensor], torch.Tensor]


def lose() -> None:
    raise LeaseLost("The lease is lost.")


def plain() -> tuple[Forward, int]:
    model = tiny()
    return prepare(model, None), int(model.segment * model.samplerate)


def fast(*, threads: int) -> tuple[Forward, int]:
    model = random_htdemucs(SMALL, seed=1)
    return prepare(model, htdemucs_network(model), precision="exact", threads=threads), int(
        model.segment * model.samplerate
    )


@pytest.mark.parametrize(
    ("network", "segments"),
    [(plain, 1), (lambda: fast(threads=1), 1), (lambda: fast(threads=2), 1), (lambda: fast(threads=2), 2)],
    ids=["plain", "fast", "threads of one segment", "a thread a segment"],
)
def test_network_ends_at_its_next_layer(network: Callable[[], tuple[Forward, int]], segments: int) -> None:
    forward, samples = network()
    mixture = torch.zeros(segments, 2, samples)
    with interruptible(lose), pytest.raises(LeaseLost):
        forward(mixture)
    assert forward(mixture).shape[0] == segments


def test_upload_ends_at_its_next_read(tmp_path: Path) -> None:
    path = tmp_path / "stem"
    path.write_bytes(b"x" * 10)
    with WatchedFile(path) as file:
        assert file.read(5) == b"xxxxx"
        with interruptible(lose):
            for read in (lambda: file.read(5), lambda: file.readinto(bytearray(5))):
                with pytest.raises(LeaseLost):
                    read()


def test_nothing_is_interrupted_outside_of_the_context() -> None:
    with interruptible(lose):
        pass
    check_interruption()
