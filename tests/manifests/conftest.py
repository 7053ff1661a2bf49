"""Rendered manifests."""

from pathlib import Path

import pytest

from tests.manifests.rendering import Manifest, rendered


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kustomizations")


@pytest.fixture
def local(scratch: Path) -> list[Manifest]:
    return rendered("deploy/overlays/local", scratch)
