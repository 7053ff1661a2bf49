"""Documents agree with the code: settings, commands, links, and the replies of the API examples."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from msaas.queue.redis.clients import RedisAddress
from msaas.settings import Settings
from msaas_catalogue.settings import CatalogueSettings
from msaas_keeper.settings import KeeperSettings
from msaas_local.settings import LocalSettings
from msaas_logs.settings import LogsSettings
from msaas_rest.openapi.document import describe_api
from msaas_rest.settings import RestSettings
from msaas_worker.settings import BrokerWorkerSettings, WorkerSettings
from tests.documents import find_blocks, find_examples, run_examples, runnable, running_services

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SERVICES: dict[str, tuple[type[Settings], ...]] = {
    "rest": (RestSettings,),
    "worker": (WorkerSettings, BrokerWorkerSettings),
    "keeper": (KeeperSettings,),
    "catalogue": (CatalogueSettings,),
    "logs": (LogsSettings,),
    "local": (LocalSettings,),
}
MAX_SETTINGS = 59
DOCUMENTS = [
    path
    for path in sorted(ROOT.glob("**/*.md"))
    if not any(part.startswith(".") or part == "node_modules" for part in path.parts)
]
#: Documents with examples, and the section that holds them: the whole text if empty.
EXAMPLES = {
    "README.md": "## One minute of curl",
    "docs/api.md": "",
    "docs/callbacks.md": "",
    "docs/songs.md": "",
}
#: Fields of replies that differ from run to run.
VARYING = {"created_at", "started_at", "finished_at", "next_attempt_at", "id", "request_id"}
VARYING_IN = {"docs/callbacks.md": {"state", "detail", "attempts"}, "docs/songs.md": {"uploader_id"}}


def services_by_setting() -> dict[str, set[str]]:
    """Return the services that read each setting."""
    found: dict[str, set[str]] = {}
    for service, kinds in SERVICES.items():
        for name in (name for kind in kinds for name in kind.model_fields):
            found.setdefault(name.upper(), set()).add(service)
    return found


def settings_rows() -> list[tuple[str, str, str]]:
    """Return the columns `setting`, `default` and `read by` of docs/settings.md."""
    text = (ROOT / "docs/settings.md").read_text().split("## Variables of libraries")[0]
    return re.findall(r"^\| `([A-Z0-9_]+)` \|([^|]*)\|([^|]*)\|", text, flags=re.MULTILINE)


def test_settings_table_names_every_setting_and_its_services() -> None:
    assert {name: set(services.split()) for name, _, services in settings_rows()} == services_by_setting()


@pytest.mark.parametrize("service", SERVICES)
def test_settings_table_has_the_defaults_of_the_code(service: str) -> None:
    fields = {name: each for kind in SERVICES[service] for name, each in kind.model_fields.items()}
    for name, documented, _ in settings_rows():
        if name.lower() in fields:
            texts = describe_default(fields[name.lower()].default)
            # The local stack leaves some settings open, and chooses them at its start.
            texts |= {"`make up`"} if service == "local" else set()
            assert any(text in documented for text in texts), name


def describe_default(default: Any) -> set[str]:
    """Return the texts by which a document may describe a default."""
    if default is PydanticUndefined:
        return {"required"}
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        return {"`true`", "`1`"} if default else {"`false`", "`0`"}
    if isinstance(default, int | float):
        return {f"`{default:g}`"}
    return {f"`{default}`"} if default else {"none"}


def test_there_are_few_settings() -> None:
    assert len(services_by_setting()) <= MAX_SETTINGS


def test_every_make_command_of_the_readme_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    commands = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert {"demo", "up"} <= commands
    assert commands <= targets


def test_make_attack_runs_tests_of_every_row_of_the_attacks() -> None:
    """A row without a test in tests/attacks has others, which all run."""
    shown = subprocess.run(
        ["make", "-n", "attack"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    run = set(re.findall(r"[\w/]+\.py", shown.partition("tests/attacks")[2]))
    table = (ROOT / "docs/security-tests.md").read_text().partition("## Attacks")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \d+ \|.*\|([^|]*)\|$", table, flags=re.MULTILINE)
    assert len(rows) == 15
    for row in rows:
        named = set(re.findall(r"`([\w/]+\.py)`", row))
        assert named
        assert "`tests/attacks/" in row or named <= run


def test_make_help_lists_every_documented_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "setup",
        "demo",
        "up",
        "test",
        "test-fast",
        "test-long",
        "train-test",
        "check",
        "bench",
        "chaos",
        "cluster-test",
    ):
        assert f"make {target} " in shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_of_commands_exist(document: Path) -> None:
    modules = set(re.findall(r"python -m (\w+(?:\.\w+)*)", document.read_text()))
    assert [module for module in modules if not is_module(module)] == []


def is_module(name: str) -> bool:
    """Training is not installed with the services: its modules are looked up in the source tree."""
    path = Path("training/src", *name.split("."))
    return (ROOT / f"{path}.py").exists() or importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)", document.read_text())
    for target, heading in links:
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not heading or heading in anchors(file), f"{target}#{heading}"


def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.process
def test_shell_blocks_are_valid_syntax() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for example in find_examples(document.read_text()):
            subprocess.run(["bash", "-n"], input=example.shell, text=True, check=True)


@pytest.mark.process
@pytest.mark.parametrize("document", EXAMPLES)
def test_examples_run_and_reply_as_documented(
    document: str, redis_address: RedisAddress, tmp_path: Path
) -> None:
    examples = find_examples(examples_of(document))
    with running_services(examples, tmp_path, redis=redis_address) as replaced:
        examples = runnable(examples)
        outputs = run_examples(examples, replaced=replaced, folder=tmp_path)
    assert [each for each in examples if each.kind]
    varying = VARYING | VARYING_IN.get(document, set())
    differences = {
        each.shell: each.compare(output, varying=varying)
        for each, output in zip(examples, outputs, strict=True)
    }
    assert {shell: found for shell, found in differences.items() if found} == {}


def examples_of(document: str) -> str:
    """Return the section of the document that holds its examples."""
    text = (ROOT / document).read_text()
    section = text.partition(EXAMPLES[document])[2] if EXAMPLES[document] else ""
    return re.split(r"\n(?=## )", section)[0] if section else text


#: Operations of the machine API without a command in a document that is run, and why.
WITHOUT_EXAMPLE = {
    ("get", "/apiv1/job/{job_id}/pieces"): "exists while a job runs: docs/fragments.md",
    ("get", "/apiv1/job/{job_id}/pieces/{part}/{number}"): "the same",
    ("get", "/apiv1/track/{name}"): "an older form of /apiv1/track/{job_id}/{part}",
    ("get", "/apiv1/remove/{job_id}/{part}"): "an older form of DELETE",
    ("get", "/apiv1/remove/{name}"): "the same",
    ("delete", "/apiv1/remove/{name}"): "the same",
    ("get", "/apiv1/delete_contents"): "the same",
    ("get", "/"): "a page",
    ("get", "/docs"): "a page",
    ("get", "/docs/{file}"): "a file of a page",
    ("get", "/assets/{file}"): "a file of a page",
}


def test_every_operation_of_the_machine_api_is_called_in_a_document() -> None:
    paths = describe_api(debug_endpoints=True)["paths"]
    operations = {
        (method, path)
        for path, methods in paths.items()
        if not path.startswith(("/songs", "/auth"))
        for method in methods.keys() & {"get", "head", "post", "delete"}
    }
    calls = {call for document in EXAMPLES for call in find_calls(examples_of(document))}
    called = {
        (method, path) for method, path in operations if any(matches(path, *call, method) for call in calls)
    }
    assert operations - called == WITHOUT_EXAMPLE.keys()


def find_calls(text: str) -> set[tuple[str, str]]:
    """Return the method and the path of each `curl`."""
    found = set()
    for line in re.findall(r"curl [^|\n]*", text):
        path = re.search(r"\$(?:API|KEYED)(/[^\s?\"]+)|localhost:5000(/[^\s?\"]+)", line)
        if path is None:
            continue
        sends = re.search(r" (?:-F|-d|--data-binary) ", line)
        method = re.search(r"-X (\w+)", line)
        name = method[1].lower() if method else "head" if " -I " in line else "post" if sends else "get"
        found.add((name, f"/apiv1{path[1]}" if path[1] else path[2]))
    return found


def matches(template: str, method: str, path: str, wanted: str) -> bool:
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
    return method == wanted and re.fullmatch(pattern, path) is not None


def test_every_block_of_the_api_guide_is_run_or_compared() -> None:
    kinds = [kind for kind, _ in find_blocks((ROOT / "docs/api.md").read_text())]
    assert set(kinds) == {"sh", "json", "text"}
    before_samples = [
        before for before, kind in zip(["", *kinds], kinds, strict=False) if kind in ("json", "text")
    ]
    assert set(before_samples) == {"sh"}
