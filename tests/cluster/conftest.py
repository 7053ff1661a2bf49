"""Fixtures of the cluster tests, and the summary of the figures that they measure."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.kube import (
    LABEL,
    ROOT,
    Api,
    Receiver,
    forwarded,
    items,
    kubectl,
    new_song,
    pods,
    running_receiver,
    wait,
)

_figures: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def _unused_cluster() -> None:
    """The last test removes everything: refuse a cluster with a running system."""
    if not shutil.which("kubectl") or not os.environ.get("KUBECONFIG"):
        pytest.fail("Set KUBECONFIG to the cluster to test on.")
    if items("deployments", "--all-namespaces", "-l", LABEL):
        pytest.exit("MSaaS runs on this cluster. These tests remove it at their end: use another cluster.", 2)


@pytest.fixture
def api() -> Iterator[Api]:
    with forwarded() as api:
        yield api


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver of callbacks that the keeper may reach."""
    with running_receiver() as receiver:
        _set_keeper("CALLBACK_ALLOW_PRIVATE=1")
        yield receiver
        _set_keeper("CALLBACK_ALLOW_PRIVATE-")


def _set_keeper(assignment: str) -> None:
    kubectl("set", "env", "deployment/keeper", assignment)
    kubectl("rollout", "status", "deployment/keeper", "--timeout=300s")
    wait(lambda: len(pods("keeper")) == 1)


@pytest.fixture
def song() -> bytes:
    """Return a song whose separation takes long enough to interrupt it."""
    return new_song(ROOT / "data" / "engine-room.mp3", times=6)


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Return a function that adds a line to the summary."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
