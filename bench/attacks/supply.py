"""Counts of packages without hashes, images without digests, shared passwords and secrets as arguments."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from bench.attacks.release import Release
from bench.attacks.target import Check

_ENTRY = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==.*(?:\n .*)*", flags=re.MULTILINE)
_IMAGE = re.compile(r"^\s*image:\s*(\S+)|^ARG PYTHON_IMAGE=(\S+)", flags=re.MULTILINE)
_SECRET_WORD = re.compile(r"requirepass|\$\w*(AUTH|PASS|SECRET|KEY)")


def count_packages(release: Release, folder: Path) -> str:
    """Count the pinned packages that no lock of the tree has a hash for."""
    tree = release.tree
    pinned = {_name(match) for match in _ENTRY.finditer((tree / "constraints.txt").read_text())}
    hashed = {
        _name(match)
        for path in (tree / "locks").glob("*.txt")
        for match in _ENTRY.finditer(path.read_text())
        if "--hash=sha256:" in match[0]
    }
    return f"{len(pinned - hashed)} of {len(pinned)}"


def _name(entry: re.Match[str]) -> str:
    return re.sub(r"[-_.]+", "-", entry[1]).lower()


def count_images(release: Release, folder: Path) -> str:
    """Count the images of others in manifests, Dockerfiles and `compose.yaml`."""
    files = [*_manifests(release.tree), *release.tree.glob("*/Dockerfile"), release.tree / "compose.yaml"]
    found = {match[1] or match[2] for path in files for match in _IMAGE.finditer(path.read_text())}
    others = {image for image in found if not image.startswith("msaas-")}
    return f"{sum('@sha256:' not in image for image in others)} of {len(others)}"


def count_users(release: Release, folder: Path) -> str:
    services, passwords = _secrets(release.tree, "REDIS_PASSWORD")
    store_services, keys = _secrets(release.tree, "MINIO_SECRET_KEY")
    return f"Redis: {passwords} for {services} services, store: {keys} for {store_services} services"


def _secrets(tree: Path, name: str) -> tuple[int, int]:
    """Return how many deployments have this variable, and how many secrets it comes from."""
    given = [
        (each["valueFrom"]["secretKeyRef"]["name"], each["valueFrom"]["secretKeyRef"]["key"])
        for manifest in _documents(tree)
        if manifest.get("kind") == "Deployment"
        for container in manifest["spec"]["template"]["spec"]["containers"]
        for each in container.get("env", [])
        if each["name"] == name
    ]
    return len(given), len(set(given))


def count_arguments(release: Release, folder: Path) -> str:
    """Count the commands in manifests and `compose.yaml` that pass a secret as an argument."""
    compose = yaml.safe_load((release.tree / "compose.yaml").read_text())["services"]
    pods = [container for found in _documents(release.tree) for container in _containers(found)]
    containers = [*compose.values(), *pods]
    commands = [" ".join(map(str, _words(each))) for each in containers]
    return f"{sum(bool(_SECRET_WORD.search(command)) for command in commands)} of {len(commands)} containers"


def _words(container: dict[str, Any]) -> list[str]:
    return [*(container.get("command") or []), *(container.get("args") or [])]


def _containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    pod = ((manifest.get("spec") or {}).get("template") or {}).get("spec") or {}
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def _manifests(tree: Path) -> list[Path]:
    patterns = ("*/k8s/*.yaml", "minio/buckets/*.yaml", "deploy/**/*.yaml")
    return sorted({path for pattern in patterns for path in tree.glob(pattern)})


def _documents(tree: Path) -> Iterator[dict[str, Any]]:
    for path in _manifests(tree):
        yield from (each for each in yaml.safe_load_all(path.read_text()) if isinstance(each, dict))


CHECKS = (
    Check(row=14, damage="pinned packages without a hash", run=count_packages),
    Check(row=14, damage="images of others without a digest", run=count_images),
    Check(row=14, damage="passwords of services", run=count_users),
    Check(row=14, damage="secrets as arguments", run=count_arguments),
)
