"""Documents list the routes, events, metrics, modules and files of the code, and no others."""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import msaas.metrics
from msaas.queue.memory import InMemoryQueue
from msaas_local.demo import Row, format_table
from msaas_local.history_table import format_history
from msaas_local.processes import Connection, Process, list_processes
from msaas_local.settings import LocalSettings
from msaas_local.start_report import StartReport
from msaas_rest.app import create_app
from msaas_rest.bootstrap import bootstrap
from msaas_rest.health.metrics import Metrics
from msaas_rest.http.disk_budget import DiskBudget
from msaas_rest.settings import RestSettings
from tests.prose import documents, read_document

ROOT = Path(__file__).parents[1]
GUIDES = documents(ROOT)
SOURCES = [path for path in sorted(ROOT.glob("*/src/**/*.py")) if not path.is_relative_to(ROOT / "training")]


def read_table(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the rows below the table heading."""
    text = (ROOT / document).read_text().partition(f"{heading}\n")[2]
    rows = text.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def words(cell: str) -> list[str]:
    """Return the texts in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# Routes


def test_api_document_lists_every_route() -> None:
    heading = "| method | path | purpose |"
    rows = [row for document in ("docs/api.md", "docs/songs.md") for row in read_table(document, heading)]
    documented = {
        (method, path) for methods, paths, _ in rows for method in words(methods) for path in words(paths)
    }
    assert documented == set(list_routes())


def list_routes() -> Iterator[tuple[str, str]]:
    """Yield each method and path of the API, with the names of documents for its variables."""
    names = {
        "song": "<hash>",
        "name": "<id>-<stem>",
        "job_id": "<id>",
        "part": "<stem>",
        "delivery_id": "<callback>",
        "song_id": "<id>",
        "session_id": "<session>",
    }
    for rule in create_app(bootstrap(RestSettings(debug_endpoints=True))).url_map.iter_rules():
        path = re.sub(r"<(?:int:)?(\w+)>", lambda match: names.get(match[1], match[0]), rule.rule)
        methods = set(rule.methods or ())
        # Flask answers HEAD wherever it answers GET.
        for method in methods - ({"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}):
            yield method, path


# Events


def test_operations_document_lists_every_event() -> None:
    rows = read_table("docs/operations.md", "| event | service | level | meaning |")
    documented = [event for row in rows for event in words(row[0])]
    assert len(documented) == len(set(documented))
    found = {pattern for source in SOURCES for pattern in list_events(source)}
    assert [event for event in documented if not any(re.fullmatch(each, event) for each in found)] == []
    assert [each for each in found if not any(re.fullmatch(each, event) for event in documented)] == []


def list_events(source: Path) -> Iterator[str]:
    """Yield a pattern for the event of each call of a logger."""
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _is_log(node.func):
            yield from _patterns(node.args[0], tree)


def _is_log(function: ast.expr) -> bool:
    """`log.info(…)`, `get_logger().info(…)`, or `report(…)` where the level is chosen before."""
    if isinstance(function, ast.Attribute):
        return ast.unparse(function.value) in ("log", "get_logger()")
    return isinstance(function, ast.Name) and function.id == "report"


def _patterns(event: ast.expr, tree: ast.Module) -> Iterator[str]:
    match event:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else r"\w+" for each in parts)
        case ast.IfExp(body=one, orelse=other):
            yield from (*_patterns(one, tree), *_patterns(other, tree))
        case ast.Name(id=name):
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and any(ast.unparse(each) == name for each in node.targets):
                    yield from _patterns(node.value, tree)


def test_every_form_of_event_is_found(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        'log.info("one_done")\nlog.error("a_done" if x else "b_done")\nreport(f"c_{state}")\n'
        'event = "d_done" if x else "e_done"\nlog.warning(event, reason="f")\nother.info("g")\n'
    )
    assert list(list_events(source)) == ["one_done", "a_done", "b_done", r"c_\w+", "d_done", "e_done"]


# Metrics


def test_operations_document_lists_every_metric_with_its_labels() -> None:
    rows = read_table("docs/operations.md", "| metric | from | labels | meaning |")
    documented = {
        (service, name): set(words(labels))
        for names, services, labels, _ in rows
        for name in words(names)
        for service in re.split(", ", services)
    }
    rest = list_metrics(Metrics(queue=InMemoryQueue(), disk_budget=DiskBudget(1)).registry)
    background = list_metrics(msaas.metrics.REGISTRY)
    assert {name: labels for (service, name), labels in documented.items() if service == "rest"} == rest
    assert {name: labels for (service, name), labels in documented.items() if service != "rest"} == background
    assert {service for service, _ in documented} == {"rest", "worker", "keeper"}


def list_metrics(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Return the labels of each metric by its name."""
    labels: dict[str, set[str]] = {}
    for collector in registry._collector_to_names:
        families = [collector] if hasattr(collector, "_labelnames") else collector.collect()
        described = collector.describe() if hasattr(collector, "describe") else collector.collect()
        for each, family in zip(families, described, strict=True):
            suffix = "_total" if family.type == "counter" else ""
            labels[family.name + suffix] = set(getattr(each, "_labelnames", ()))
    return labels


# Modules and files


def test_architecture_document_lists_every_module() -> None:
    block = (ROOT / "docs/architecture.md").read_text().partition("Inside the packages:\n\n```\n")[2]
    lines = [line.split() for line in block.partition("```")[0].splitlines()]
    documented = {folder: set(names) for folder, *names in lines}
    assert documented == {f"{folder.relative_to(ROOT)}/": names for folder, names in list_folders()}


def list_folders() -> Iterator[tuple[Path, set[str]]]:
    """Yield each package of a service with its modules, and its packages with a slash behind."""
    for package in {source.parent for source in SOURCES}:
        modules = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
        folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
        if modules | folders:
            yield package, modules | folders


#: Files of the table "Where a change goes" that do not exist yet, and folders of earlier commits.
ABSENT = {"rest/…/api/jobs/events.py", "rest/…/songs/", "worker/training", "worker/training/README.md"}
#: The build of the page.
ABSENT |= {"rest/src/msaas_rest/home/page"}
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"output", "build"}


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_in_backticks_exist(document: Path) -> None:
    for text in words(read_document(document)):
        folder, slash, _ = text.partition("/")
        if slash and folder in FOLDERS and re.fullmatch(r"[\w./…-]+", text) and text not in ABSENT:
            assert list(ROOT.glob(text.rstrip("/").replace("…", "**"))), text


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_with_our_prefix_are_metrics_or_packages(document: Path) -> None:
    metrics = {name for row in read_table("docs/operations.md", METRICS) for name in words(row[0])}
    for text in words(read_document(document)):
        if re.fullmatch(r"msaas_\w+", text):
            assert text in metrics or (ROOT / "training/src" / text).exists() or is_package(text), text


METRICS = "| metric | from | labels | meaning |"


def is_package(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


NOT_OURS = {"__pycache__", "node_modules"}


def test_documents_named_in_the_code_exist() -> None:
    suffixes = {".py", ".lua", ".toml", ".yaml", ".sh", ".md", ".html", ""}
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    named = {
        name
        for path in [*files, *ROOT.glob("*.*"), ROOT / "Makefile"]
        if path.is_file() and not any(part.startswith(".") or part in NOT_OURS for part in path.parts)
        for name in re.findall(r"(?<!/)\bdocs/[\w/-]+\.\w+", path.read_text(errors="replace"))
    }
    assert {"docs/api.md", "docs/measurements/performance.md"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


# The start of the local stack, as README.md shows it


@dataclass
class StagedStack:
    """Stands in for a running stack. `show` brings it into the state that a line of the report describes."""

    settings: LocalSettings
    connection: Connection
    age_s: float = 0.0
    workers: int | None = None

    @property
    def processes(self) -> list[Process]:
        return list_processes(self.settings, self.connection)

    def live_workers(self) -> int | None:
        return self.workers

    def stand_in(self) -> str:
        return "starter"

    def show(self, line: str) -> None:
        match line.split():
            case ["worker-1", "loads", "torch"]:
                self._log(event="torch_loading")
            case ["worker-1", "loads", model]:
                self._log(event="model_loading", model=model)
            case ["worker-1", "is", "ready"]:
                self._log(event="worker_started")
                self.workers = 1
            case ["the", "API", "accepts", *_]:
                self.workers = 0

    def _log(self, **line: str) -> None:
        with open(self.settings.log_dir / "worker-1.log", "a") as log:
            log.write(json.dumps(line) + "\n")

    def miss_model(self, *, reason: str) -> None:
        self._log(event="model_replaced", model="htdemucs", reason=reason)


def read_starts() -> list[str]:
    """Return the blocks of README.md that show a start: of `make demo` and of `make up`."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for block in blocks if block.startswith("[msaas] starting")]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StagedStack:
    monkeypatch.chdir(tmp_path)
    settings = LocalSettings(host="127.0.0.1", port=5000, workers=1, msaas_home=Path(".msaas"))
    settings.log_dir.mkdir(parents=True)
    store = {"STORE_DIR": "/home/you/msaas/.msaas/store"}
    stack = StagedStack(settings, Connection(queue={"REDIS_PORT": "6379"}, store=store))
    (settings.log_dir / "worker-1.log").touch()
    return stack


@pytest.mark.parametrize(("number", "is_brief"), [(0, True), (1, False)], ids=["demo", "up"])
def test_readme_shows_the_lines_of_a_start(stack: StagedStack, number: int, is_brief: bool) -> None:
    block = read_starts()[number]
    said: list[str] = []
    report = StartReport(stack, lambda text: said.append(f"[msaas] {text}"), is_brief=is_brief)
    report.begin()
    stack.miss_model(reason=re.findall(r"^\[msaas\]   why    (.*)$", block, flags=re.MULTILINE)[0])
    for age_s, line in re.findall(r"^\[msaas\] ([\d.]+) s: (.*)$", block, flags=re.MULTILINE):
        stack.age_s = float(age_s)
        stack.show(line)
        report.update()
    assert report.is_ready
    shown = block.splitlines()
    assert said == (shown[: len(said)] if is_brief else shown)


def test_readme_shows_the_table_of_the_demo() -> None:
    block = read_starts()[0]
    rows = re.findall(r"^(\S+\.mp3) +(\w+) +([\d.]+)  (\S+)$", block, flags=re.MULTILINE)
    assert len(rows) == 8
    table = format_table([Row(song, stem, float(seconds), Path(file)) for song, stem, seconds, file in rows])
    history = block.partition(table)[2].split()
    assert history[:8] == format_history([]).split()
    assert len(history) > 8
