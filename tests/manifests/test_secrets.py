"""Secrets: users of services, keys and the processes that get them."""

import re
from pathlib import Path

import pytest

from tests.manifests import policies
from tests.manifests.finding import pod_of
from tests.manifests.rendering import SYSTEMS, Manifest, rendered

pytestmark = pytest.mark.process

#: Kustomizations that put the API within reach of others.
PUBLIC = {
    *("deploy/overlays/gke", "deploy/overlays/gke-gpu", "deploy/overlays/external-s3"),
    *("deploy/components/ingress", "deploy/components/gateway", "deploy/components/api-key"),
}


def test_worker_and_keeper_sign_with_the_same_secret(local: list[Manifest]) -> None:
    references = [
        [
            each["valueFrom"]
            for each in pod_of(local, name)["containers"][0]["env"]
            if each["name"] == "WEBHOOK_SECRET"
        ]
        for name in ("worker", "keeper")
    ]
    assert references[0] == references[1]
    assert references[0][0]["secretKeyRef"]["name"] == "webhook-secret"


@pytest.mark.parametrize("name", SYSTEMS)
def test_public_system_needs_an_api_key(name: str, scratch: Path) -> None:
    container = pod_of(rendered(name, scratch), "rest-server")["containers"][0]
    (keys,) = (each["valueFrom"]["secretKeyRef"] for each in container["env"] if each["name"] == "API_KEYS")
    assert keys == {"name": "api-keys", "key": "keys", "optional": name not in PUBLIC}


def test_each_service_has_users_of_its_own(local: list[Manifest]) -> None:
    secrets = {
        name: {
            each["valueFrom"]["secretKeyRef"]["name"] + "/" + each["valueFrom"]["secretKeyRef"]["key"]
            for each in pod_of(local, deployment)["containers"][0]["env"]
            if "valueFrom" in each and each["name"].startswith(("REDIS_", "MINIO_"))
        }
        for name, deployment in {
            "rest": "rest-server",
            "worker": "worker",
            "keeper": "keeper",
            "logs": "logs",
        }.items()
    }
    assert secrets == {
        name: {f"redis-users/{name}", *(store if name != "logs" else ())}
        for name in secrets
        for store in [{f"store-{name}/access-key", f"store-{name}/secret-key"}]
    }


def test_only_the_store_and_its_job_know_the_root_user(local: list[Manifest]) -> None:
    known = {
        where
        for where, container in policies.containers(local)
        for each in container.get("env", [])
        if each.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == "minio"
    }
    assert known == {"StatefulSet/minio-proj", "Job/make-buckets"}


def test_no_process_gets_a_secret_as_an_argument(local: list[Manifest]) -> None:
    for where, container in policies.containers(local):
        words = " ".join([*container.get("command", []), *container.get("args", [])])
        assert not re.search(r"requirepass|\$\w*(AUTH|PASS|SECRET|KEY)", words), where
