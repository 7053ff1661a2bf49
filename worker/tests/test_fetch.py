"""What `msaas_worker.fetch` lays down is what MODEL_REPO wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from msaas_worker.fetch import fetch
from msaas_worker.separators.hub import Fetch, Hub
from msaas_worker.separators.repository import in_folder


class HubOnDisk(Hub):
    """The hub, as far as a folder can be it."""

    folder: Path

    @contextmanager
    def open(self, name: str) -> Iterator[Fetch]:
        def fetched(filename: str) -> Path:
            if not (self.folder / filename).is_file():
                raise OSError(f"{filename} is not on the hub")
            return self.folder / filename

        yield fetched


@pytest.fixture
def hub(tmp_path: Path) -> HubOnDisk:
    HubOnDisk.folder = tmp_path / "hub"
    HubOnDisk.folder.mkdir()
    (HubOnDisk.folder / "htdemucs.yaml").write_text("models: ['955717e8']\n")
    (HubOnDisk.folder / "955717e8.safetensors").write_bytes(b"weights")
    return HubOnDisk()


def test_a_fetched_model_is_found_in_its_folder(hub: HubOnDisk, tmp_path: Path) -> None:
    fetch("htdemucs", into=tmp_path / "models", hub=hub)
    files = in_folder(tmp_path / "models", "htdemucs")
    assert files
    assert [path.read_bytes() for path in files.weights] == [b"weights"]


def test_a_model_whose_weights_did_not_come_is_not_there(hub: HubOnDisk, tmp_path: Path) -> None:
    (hub.folder / "955717e8.safetensors").unlink()
    with pytest.raises(OSError, match=r"955717e8\.safetensors"):
        fetch("htdemucs", into=tmp_path / "models", hub=hub)
    assert in_folder(tmp_path / "models", "htdemucs") is None
