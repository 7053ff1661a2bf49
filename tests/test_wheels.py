"""The wheels of all parts, as `make wheels` builds them."""

import subprocess
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = {
    "msaas": "msaas",
    "msaas-catalogue": "msaas_catalogue",
    "msaas-rest": "msaas_rest",
    "msaas-worker": "msaas_worker",
    "msaas-keeper": "msaas_keeper",
    "msaas-logs": "msaas_logs",
    "msaas-local": "msaas_local",
    "msaas-client": "msaas_client",
}
#: Fields of a package index (PEP 566, PEP 639). The description is the README.
_FIELDS = (
    *("Version", "Summary", "Keywords", "Author"),
    *("License-Expression", "License-File", "Requires-Python"),
)

pytestmark = [pytest.mark.process, pytest.mark.long]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    """Return the wheels by the names of their packages."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(["make", "wheels", f"WHEELS={folder}"], cwd=ROOT, check=True, capture_output=True)
    opened = [zipfile.ZipFile(path) for path in folder.glob("*.whl")]
    return {str(read_metadata(each)["Name"]): each for each in opened}


def read_metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_every_part_has_a_wheel_with_complete_metadata(wheels: dict[str, zipfile.ZipFile]) -> None:
    assert wheels.keys() == PARTS.keys()
    for name, wheel in wheels.items():
        metadata = read_metadata(wheel)
        assert [field for field in _FIELDS if not metadata[field]] == [], name
        assert metadata["License-Expression"] == "MIT"
        assert str(metadata.get_payload()).startswith("# ")
        assert any(each.endswith("/licenses/LICENSE") for each in wheel.namelist())


def test_every_wheel_has_its_modules_and_data(wheels: dict[str, zipfile.ZipFile]) -> None:
    for name, wheel in wheels.items():
        (source,) = ROOT.glob(f"*/src/{PARTS[name]}")
        wanted = {
            str(path.relative_to(source.parent))
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {each for each in wheel.namelist() if ".dist-info/" not in each} == wanted, name


def test_client_needs_no_torch_and_has_the_command(wheels: dict[str, zipfile.ZipFile]) -> None:
    wheel = wheels["msaas-client"]
    required = read_metadata(wheel).get_all("Requires-Dist") or []
    assert [each for each in required if "extra ==" not in each] == [
        "click>=8.2",
        "requests>=2.32",
        "tqdm>=4.66",
    ]
    # The command calls the engine of its own version.
    assert f'msaas-worker=={read_metadata(wheel)["Version"]}; extra == "local"' in required
    (points,) = (each for each in wheel.namelist() if each.endswith("/entry_points.txt"))
    assert "msaas = msaas_client.command.main:main" in wheel.read(points).decode()
