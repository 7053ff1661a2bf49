"""A catalogue of its own for each test."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from msaas_catalogue import Catalogue, open_catalogue, prepare


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return url


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    with closing(open_catalogue(url)) as catalogue:
        yield catalogue
