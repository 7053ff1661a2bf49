"""One system for all tests of a cluster, and the figures they measure."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.kube import LABEL, ROOT, Api, forwarded, items, new_song

_figures: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def _a_cluster_of_our_own() -> None:
    """The last test removes everything: it must not be somebody's."""
    if not shutil.which("kubectl") or not os.environ.get("KUBECONFIG"):
        pytest.fail("Set KUBECONFIG to the cluster to test on.")
    if items("deployments", "--all-namespaces", "-l", LABEL):
        pytest.exit("MSaaS runs on this cluster. These tests end with removing it: use another one.", 2)


@pytest.fixture
def api() -> Iterator[Api]:
    with forwarded() as api:
        yield api


@pytest.fixture
def song() -> bytes:
    """Long enough to be caught at it."""
    return new_song(ROOT / "data" / "engine-room.mp3", times=6)


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Note a figure for the summary."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
