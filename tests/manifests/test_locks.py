"""The locks have the versions of constraints.txt, with hashes, and the packages that each image needs."""

import re
import runpy
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.manifests.rendering import ROOT

LOCKS = sorted(path.stem for path in (ROOT / "locks").glob("*.txt") if path.stem != "overrides")
_ENTRY = re.compile(r"^(\S+)==(\S+?)(?: ; (.+?))?(?: \\)?$", flags=re.MULTILINE)
compile_lock = runpy.run_path(str(ROOT / "locks" / "compile.py"))


def text_of(lock: str) -> str:
    return (ROOT / "locks" / f"{lock}.txt").read_text()


def versions_of(text: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version, _ in _ENTRY.findall(text)}


def constraints() -> dict[str, str]:
    return versions_of((ROOT / "constraints.txt").read_text())


def installed_here(text: str) -> set[str]:
    """Return the packages of a lock that this platform installs."""
    return {
        canonicalize_name(name)
        for name, _, marker in _ENTRY.findall(text)
        if not marker or Marker(marker).evaluate()
    }


def needed(requirements: list[str]) -> set[str]:
    """Return the packages that the requirements need here, by the metadata of the installed ones."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(each) for each in requirements]
    while todo:
        each = todo.pop()
        key = (canonicalize_name(each.name), frozenset(each.extras))
        if key in found or key[0] == "torch":
            continue
        found.add(key)
        todo += _dependencies(each)
    return {name for name, _ in found}


def _dependencies(requirement: Requirement) -> Iterator[Requirement]:
    for text in requires(requirement.name) or ():
        each = Requirement(text)
        extras = requirement.extras or {""}
        if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in extras):
            yield each


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_the_versions_of_the_constraints(lock: str) -> None:
    locked, allowed = versions_of(text_of(lock)), constraints()
    assert locked
    assert {name: allowed.get(name) for name in locked} == locked


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_has_hashes(lock: str) -> None:
    entries = re.findall(r"^\w\S*==.*(?:\n .*)*", text_of(lock), flags=re.MULTILINE)
    assert len(entries) == len(versions_of(text_of(lock)))
    without = [each for each in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", each)]
    assert without == []


@pytest.mark.parametrize("lock", ["rest", "worker", "keeper", "logs", "dev"])
def test_lock_has_the_packages_that_its_part_needs(lock: str) -> None:
    torch = needed(["filelock", "sympy", "networkx", "jinja2", "fsspec", "typing-extensions", "setuptools"])
    wanted = needed(compile_lock["requirements"]()[lock]) | (torch if lock in ("worker", "dev") else set())
    assert installed_here(text_of(lock)) == wanted


def test_constraints_name_no_package_beyond_the_locks() -> None:
    locked = set().union(*(versions_of(text_of(lock)) for lock in LOCKS))
    assert constraints().keys() - locked == set()


def test_locks_of_torch_admit_different_builds() -> None:
    cpu, cuda = (
        set(
            re.findall(
                r"sha256:\w+", re.findall(r"^torch==.*(?:\n .*)*", text_of(lock), flags=re.MULTILINE)[0]
            )
        )
        for lock in ("torch-cpu", "torch-cuda")
    )
    assert versions_of(text_of("torch-cpu")) == {"torch": constraints()["torch"]}
    # Both have the wheels for macOS, which has no CUDA.
    assert cpu - cuda
    assert cuda - cpu
    assert any(name.startswith("nvidia") for name in versions_of(text_of("torch-cuda")))


@pytest.mark.parametrize("service", ["rest", "worker", "keeper", "logs"])
def test_image_installs_its_lock_and_nothing_else(service: str) -> None:
    dockerfile = (ROOT / service / "Dockerfile").read_text()
    installs = re.findall(r"pip install (.*?)(?: \\)?$", dockerfile, flags=re.MULTILINE)
    assert "PIP_NO_DEPS=1" in dockerfile.split("pip install")[0]
    *locked, parts = installs
    assert all(each.startswith("--require-hashes --only-binary :all: ") for each in locked)
    assert f"/src/locks/{service}.txt" in locked[-1]
    has_catalogue = "msaas-catalogue" in (ROOT / service / "pyproject.toml").read_text()
    ours = ["common", *(["catalogue"] if has_catalogue else []), service]
    assert parts == f"--no-build-isolation {' '.join(f'/src/{each}' for each in ours)}"


def test_setup_installs_locks_and_nothing_else() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"pip (install|\$\(LOCKED\)) (.*)$", makefile, flags=re.MULTILINE)
    assert len(installs) >= 4
    for command, options in installs:
        if command == "install":
            assert options.startswith("--quiet --no-deps --no-build-isolation ")


def test_no_lock_names_an_index() -> None:
    assert [path.name for path in Path(ROOT / "locks").glob("*.txt") if "://" in path.read_text()] == []


@pytest.mark.parametrize("image", ["rest", "worker", "worker-gpu", "keeper", "logs"])
def test_bill_of_materials_names_the_packages_of_the_image(image: str) -> None:
    script = runpy.run_path(str(ROOT / "locks" / "installed.py"))
    names = versions_of("\n".join(script["entries_of"](image))).keys()
    assert "pydantic" in names
    assert ("torch" in names) is image.startswith("worker")
    assert any(name.startswith("nvidia") for name in names) is (image == "worker-gpu")
    assert {"setuptools", "colorama", "httpx2-jsfetch", "pytest"}.isdisjoint(names)
