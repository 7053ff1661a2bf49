"""The shell scripts pass shellcheck, and their output agrees with the manifests."""

import os
import re
import shlex
import shutil
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
        "mariadb:10.11.18@sha256:de61fed4a40d3842f3ee09944ba52792156cfd9adf489b2cc670fc6ded28df8d",
        "mirror.example/minio:7",
        "r.example:5000/msaas/msaas-keeper:1.2.3",
        "r.example:5000/msaas/msaas-logs:1.2.3",
        "r.example:5000/msaas/msaas-rest:1.2.3",
        "r.example:5000/msaas/msaas-worker-gpu:1.2.3",
        "rabbitmq:4.2-management@sha256:a2751b3b5eed89e47ebbd5e776de0d6d85d924002773933ab881da49c073b85d",
        "redis:7.4.7-alpine@sha256:02f2cc4882f8bf87c79a220ac958f58c700bdec0dfb9b9ea61b62fb0e8f1bfcf",
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


#: Keeps Secrets as folders, renders with kustomize, and records the arguments that `ps` would show.
KUBECTL = r"""#!/bin/bash
state=$(dirname "$0")
echo "$*" >>"$state/arguments"
case "$*" in
  "kustomize "*) exec KUSTOMIZE "$2" ;;
  *"get secret "*go-template*) cat "$state/secrets/$5/$(sed -E 's/.*"([a-z-]+)".*/\1/' <<<"$*")" ;;
  *"get secret "*) test -d "$state/secrets/$5" ;;
  *"create secret generic "*--dry-run*) cat "${7#--from-file=*=}" >>"$state/applied" ;;
  *"create secret generic "*)
    mkdir -p "$state/secrets/$6"
    for option in "${@:7}"; do cp "${option##*=}" "$state/secrets/$6/$(cut -d = -f 2 <<<"$option")"; done ;;
  *"delete secret "*) rm -r "$state/secrets/$5" ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    """Return the folder of a kubectl without a cluster."""
    command = shlex.join(kustomize())
    (tmp_path / "kubectl").write_text(KUBECTL.replace("KUSTOMIZE", command))
    (tmp_path / "kubectl").chmod(0o755)
    if kustomize()[0] == "kubectl":
        program = shutil.which("kubectl")
        (tmp_path / "kubectl").write_text(
            KUBECTL.replace("KUSTOMIZE", command.replace("kubectl", str(program), 1))
        )
    return tmp_path


def deploy(kubectl: Path, *options: str, **variables: str) -> str:
    environment = {**os.environ, "PATH": f"{kubectl}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        [str(DEPLOY), *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def secrets_of(kubectl: Path) -> dict[str, str]:
    return {
        str(path.relative_to(kubectl / "secrets")): path.read_text()
        for path in (kubectl / "secrets").glob("*/*")
    }


@pytest.mark.parametrize(
    "options", [["--overlay", "gke"], ["--with", "ingress"], ["--with", "gateway"]], ids=" ".join
)
def test_public_deployment_makes_a_key_and_prints_it_once(kubectl: Path, options: list[str]) -> None:
    first = deploy(kubectl, *options)
    key = secrets_of(kubectl)["api-keys/keys"]
    assert len(key) == 40
    assert first.count(key) == 1
    assert key not in deploy(kubectl, *options)
    assert secrets_of(kubectl)["api-keys/keys"] == key


def test_open_removes_the_key(kubectl: Path) -> None:
    deploy(kubectl, "--overlay", "gke")
    assert "API key" not in deploy(kubectl, "--overlay", "gke", "--open")
    assert "api-keys/keys" not in secrets_of(kubectl)
    printed = deploy(kubectl, "--overlay", "gke", "--open", "--dry-run")
    assert "optional: false" not in printed


def test_own_keys_replace_the_random_one(kubectl: Path) -> None:
    deploy(kubectl, "--overlay", "gke", API_KEYS="the-key-of-the-operator")
    assert (kubectl / "applied").read_text() == "the-key-of-the-operator"


def test_local_deployment_is_open(kubectl: Path) -> None:
    assert "API key" not in deploy(kubectl)
    assert "api-keys/keys" not in secrets_of(kubectl)


def test_each_user_has_a_password_that_no_argument_shows(kubectl: Path) -> None:
    deploy(kubectl, "--overlay", "gke", WEBHOOK_SECRET="whsec_c2VjcmV0LW9mLXRoZS10ZXN0LXdlYmhvb2s=")
    secrets = secrets_of(kubectl)
    assert {name.partition("/")[0] for name in secrets} == {
        *("redis-users", "minio", "store-rest", "store-worker", "store-keeper", "api-keys"),
        *("mysql", "database", "rabbitmq", "broker", "worker-token"),
    }
    assert len(set(secrets.values())) == len(secrets) == 21
    shown = (kubectl / "arguments").read_text()
    assert [name for name, value in secrets.items() if value in shown] == []
    assert "whsec_" not in shown


def test_addresses_have_the_passwords_of_their_servers(kubectl: Path) -> None:
    deploy(kubectl)
    secrets = secrets_of(kubectl)
    assert secrets["database/url"] == f"mysql://msaas:{secrets['mysql/password']}@mysql:3306/msaas"
    assert secrets["broker/addr"] == f"amqp://msaas:{secrets['rabbitmq/password']}@rabbitmq:5672"


def test_garage_has_one_key_for_all_services(kubectl: Path) -> None:
    deploy(kubectl, "--with", "garage")
    secrets = secrets_of(kubectl)
    for service in ("rest", "worker", "keeper"):
        assert secrets[f"store-{service}/access-key"] == secrets["minio/access-key"]
        assert secrets[f"store-{service}/secret-key"] == secrets["minio/secret-key"]
    assert re.fullmatch("[0-9a-f]{64}", secrets["garage/rpc-secret"])


def test_second_deployment_keeps_the_passwords(kubectl: Path) -> None:
    deploy(kubectl)
    before = secrets_of(kubectl)
    deploy(kubectl)
    assert secrets_of(kubectl) == before


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (["--overlay", "external-s3"], "deploy/overlays/external-s3/egress.yaml"),
        (["--with", "public-s3"], "deploy/components/public-s3/kustomization.yaml"),
        (["--with", "external-database"], "deploy/components/external-database/egress.yaml"),
        (["--with", "external-broker"], "deploy/components/external-broker/egress.yaml"),
    ],
)
def test_address_of_an_example_is_refused(kubectl: Path, options: list[str], file: str) -> None:
    environment = {**os.environ, "PATH": f"{kubectl}:{os.environ['PATH']}"}
    refused = subprocess.run(
        [str(DEPLOY), *options], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert file in refused.stderr
    assert (ROOT / file).exists()
