"""What the documents say of settings, routes and commands is what the code has."""

import re
import subprocess
from pathlib import Path

import pytest

from msaas.settings import Settings
from msaas_local.settings import LocalSettings
from msaas_logs.settings import LogsSettings
from msaas_rest.settings import RestSettings
from msaas_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SERVICES: list[type[Settings]] = [RestSettings, WorkerSettings, LogsSettings, LocalSettings]
MOST_SETTINGS = 40
DOCUMENTS = [
    path for path in sorted(ROOT.glob("**/*.md")) if not any(part.startswith(".") for part in path.parts)
]


def settings_in_code() -> dict[str, set[str]]:
    """Return each setting's name with the defaults that services give it."""
    found: dict[str, set[str]] = {}
    for service in SERVICES:
        for name, field in service.model_fields.items():
            found.setdefault(name.upper(), set()).add(str(field.default))
    return found


def settings_in_readme() -> set[str]:
    table = README.split("## Settings")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([A-Z0-9_]+)`", table, flags=re.MULTILINE))


def test_every_setting_has_its_row_and_every_row_its_setting() -> None:
    assert settings_in_readme() == set(settings_in_code())


def test_there_are_few_settings() -> None:
    assert len(settings_in_code()) <= MOST_SETTINGS


def test_every_command_of_the_readme_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    commands = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert commands
    assert commands <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_make_help_lists_every_public_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "up", "test", "check", "bench", "chaos", "cluster-test"):
        assert f"make {target} " in shown
