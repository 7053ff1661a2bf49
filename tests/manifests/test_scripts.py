"""The shell scripts pass shellcheck, and their output agrees with the manifests."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendering import ROOT, kustomize, render_folder

pytestmark = pytest.mark.process

SCRIPTS = [*sorted(ROOT.glob("*.sh")), ROOT / ".ci" / "run"]
DEPLOY = ROOT / "deploy-all.sh"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_passes_shellcheck(script: Path) -> None:
    found = run(Path(sys.executable).with_name("shellcheck"), script)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", sorted(ROOT.glob("*.sh")), ids=lambda path: path.name)
def test_script_prints_its_usage(script: Path) -> None:
    assert run(script, "--help").stdout.startswith("usage: ")
    assert run(script, "--no-such-option").returncode == 2


@pytest.fixture
def _kubectl() -> None:
    if kustomize()[0] != "kubectl":
        pytest.skip("the scripts render with kubectl")


@pytest.mark.usefixtures("_kubectl")
def test_dry_run_prints_the_manifests_of_the_overlay() -> None:
    printed = list(yaml.safe_load_all(run(DEPLOY, "--dry-run").stdout))
    assert printed == render_folder(ROOT / "deploy/overlays/local")


@pytest.mark.usefixtures("_kubectl")
def test_registry_and_tag_apply_to_every_image() -> None:
    options = ["--registry", "r.example:5000/msaas", "--tag", "1.2.3", "--with", "gpu"]
    mirror = ["--image", "quay.io/minio/minio=mirror.example/minio:7"]
    text = run(DEPLOY, "--dry-run", *options, *mirror).stdout
    images = sorted({line.split("image: ")[1] for line in text.splitlines() if " image: " in line})
    assert images == [
        "mirror.example/minio:7",
        "r.example:5000/msaas/msaas-keeper:1.2.3",
        "r.example:5000/msaas/msaas-logs:1.2.3",
        "r.example:5000/msaas/msaas-rest:1.2.3",
        "r.example:5000/msaas/msaas-worker-gpu:1.2.3",
        "redis:7.4.7-alpine",
    ]


@pytest.mark.usefixtures("_kubectl")
def test_unknown_overlay_is_named() -> None:
    refused = run(DEPLOY, "--overlay", "nowhere", "--dry-run")
    assert refused.returncode == 1
    assert "nowhere has no kustomization.yaml" in refused.stderr


def test_run_removes_its_temporary_folder() -> None:
    run(DEPLOY, "--dry-run")
    assert list((ROOT / "deploy").glob(".run.*")) == []


def test_local_development_names_the_command_of_each_service() -> None:
    """Without the keeper, the jobs of killed workers are lost."""
    text = (ROOT / "deploy-local-dev.sh").read_text()
    for command in ("rest/rest-server.py", "worker/worker-server.py", "-m msaas_keeper"):
        assert f".venv/bin/python {command}" in text
