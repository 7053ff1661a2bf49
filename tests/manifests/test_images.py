"""Dockerfiles and the compose file follow the policies of the manifests."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from msaas.settings import Settings, StoreUsersSettings
from msaas_worker.settings import BrokerWorkerSettings
from tests.manifests.policies import SETTINGS, complaint_of_image, names_of_settings
from tests.manifests.rendering import KUSTOMIZATIONS, ROOT, Manifest, rendered

pytestmark = pytest.mark.process

DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
#: Variables that are not settings of a service.
_FOREIGN_ENV = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "HOME", "HF_HUB_OFFLINE"}


def version() -> str:
    found: str = tomllib.loads((ROOT / "common" / "pyproject.toml").read_text())["project"]["version"]
    return found


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image_is_built_in_stages_and_runs_unprivileged(dockerfile: Path) -> None:
    build, final = dockerfile.read_text().split("\nFROM ")[1:]
    assert "AS build" in build
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, flags=re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python", "-m", "msaas_\w+"\]$', final, flags=re.MULTILINE)
    assert "pip uninstall -y pip setuptools wheel" in final


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_base_image_is_pinned(dockerfile: Path) -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile.read_text(), flags=re.MULTILINE)
    assert complaint_of_image(base) is None


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_service_reads_the_environment_of_its_image(dockerfile: Path) -> None:
    service = dockerfile.parent.name
    final = dockerfile.read_text().split("\nFROM ")[-1]
    names = set(re.findall(r"\b([A-Z_]+)=", "".join(re.findall(r"^ENV .*$", final, flags=re.MULTILINE))))
    assert names - _FOREIGN_ENV <= names_of_settings(SETTINGS[service])


@pytest.mark.parametrize("service", ["rest", "worker", "keeper"])
def test_standard_library_of_the_image_is_compiled(service: str) -> None:
    """Measured: a start without it takes 1 to 3.5 s longer, because PYTHONDONTWRITEBYTECODE is set."""
    final = (ROOT / service / "Dockerfile").read_text().split("\nFROM ")[-1]
    compiling, switching = final.index("RUN python -m compileall"), final.index("\nUSER ")
    assert compiling < switching


def test_only_the_worker_has_torch() -> None:
    assert [path.parent.name for path in DOCKERFILES if "torch" in path.read_text()] == ["worker"]


@pytest.mark.parametrize("service", ["rest", "worker", "keeper", "logs"])
def test_every_service_has_an_image_and_a_place_in_compose(service: str) -> None:
    assert ROOT / service / "Dockerfile" in DOCKERFILES
    assert COMPOSE["services"][service]["image"].startswith(f"msaas-{service}:")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{service}/src", f"!{service}/pyproject.toml"} <= set(ignored)
    script = (ROOT / "build-images.sh").read_text()
    assert service in re.findall(r"services=\(([\w ]+)\)", script)[0].split()


def test_images_have_the_version_of_the_code(tmp_path: Path) -> None:
    ours = {
        container["image"]
        for name in KUSTOMIZATIONS
        for container in _containers(rendered(name, tmp_path))
        if container["image"].startswith("msaas-")
    } | {service["image"] for service in COMPOSE["services"].values() if "build" in service}
    assert ours
    assert {image.partition(":")[2] for image in ours} == {version()}


def test_image_has_one_digest_everywhere() -> None:
    """`make digests` finds them in these files."""
    files = [*DOCKERFILES, ROOT / "compose.yaml", *ROOT.glob("*/k8s/*.yaml")]
    files += ROOT.glob("deploy/components/*/*.yaml")
    digests: dict[str, set[str]] = {}
    for path in files:
        for image, digest in re.findall(r"([\w./-]+:[\w.-]+)@(sha256:\w+)", path.read_text()):
            digests.setdefault(image.removeprefix("docker.io/library/"), set()).add(digest)
    assert len(digests) == 6
    assert [image for image, found in digests.items() if len(found) > 1] == []


def _containers(manifests: list[Manifest]) -> list[dict[str, Any]]:
    pods = [each["spec"]["template"]["spec"] for each in manifests if "template" in each.get("spec", {})]
    return [container for pod in pods for container in pod["containers"]]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_compose_service_is_restricted_and_reads_its_environment(name: str) -> None:
    service = COMPOSE["services"][name]
    assert complaint_of_image(service["image"]) is None
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "mem_limit" in service
    known: dict[str, type[Settings]] = {
        **SETTINGS,
        "buckets": StoreUsersSettings,
        "song-worker": BrokerWorkerSettings,
    }
    if settings := known.get(name):
        assert service["environment"].keys() <= names_of_settings(settings)


def test_example_of_the_environment_names_every_variable_of_compose() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    example = (ROOT / "compose.env.example").read_text()
    assert set(re.findall(r"^(\w+)=", example, flags=re.MULTILINE)) == used


def test_compose_passes_the_public_address_of_the_store_to_rest() -> None:
    given = COMPOSE["services"]["rest"]["environment"]
    for name in ("PUBLIC_S3_URL", "PUBLIC_S3_REGION"):
        assert given[name] == f"${{{name}-}}"


def test_compose_contains_no_secret() -> None:
    given = {
        name: value
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|TOKEN|PASS$|MINIO_ROOT", name)
    }
    assert given
    assert [name for name, value in given.items() if not re.fullmatch(r"\$\{\w+(:\?.*|-)\}", value)] == []


def test_example_of_the_environment_makes_random_values(tmp_path: Path) -> None:
    example = (ROOT / "compose.env.example").read_text()
    guide = (ROOT / "docs/operations.md").read_text()
    (command,) = re.findall(r"^umask 077\n.*?>\.env$", guide, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "compose.env.example").write_text(example)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
    made = dict(re.findall(r"^(\w+)=(.*)$", (tmp_path / ".env").read_text(), flags=re.MULTILINE))
    random = [
        made[name]
        for name, value in re.findall(r"^(\w+)=(\w*)$", example, flags=re.MULTILINE)
        if value == "random"
    ]
    assert all(re.fullmatch("[0-9a-f]{40}", value) for value in random)
    assert len(set(random)) == len(random) == 15
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_compose_knows_the_users_of_redis() -> None:
    users = set(re.findall(r"^user (\w+)", (ROOT / "redis/k8s/users.acl").read_text(), flags=re.MULTILINE))
    given = COMPOSE["services"]["redis"]["environment"].keys()
    assert {f"PASSWORD_{user}" for user in users - {"default", "probe"}} == given - {"REDISCLI_AUTH"}
