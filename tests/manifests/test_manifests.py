"""Each kustomization renders, is valid for current Kubernetes versions, and follows our policies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from msaas_worker.settings import WorkerSettings
from tests.manifests import policies
from tests.manifests.finding import object_of, pod_of
from tests.manifests.policies import POLICIES, of_kind
from tests.manifests.rendering import COMPONENTS, KUSTOMIZATIONS, SYSTEMS, Manifest, rendered

pytestmark = pytest.mark.process

#: Kinds of other projects: their schemas are not part of Kubernetes.
FOREIGN = {
    "ScaledObject": "keda.sh/v1alpha1",
    "ClusterIssuer": "cert-manager.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "BackendConfig": "cloud.google.com/v1",
}
VERSIONS = [kubernetes_validate.latest_version(), "1.31"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUSTOMIZATIONS + COMPONENTS)
def test_kustomization_renders_and_is_valid(name: str, version: str, scratch: Path) -> None:
    manifests = rendered(name, scratch)
    assert manifests
    for each in manifests:
        if each["kind"] in FOREIGN:
            assert each["apiVersion"] == FOREIGN[each["kind"]]
        else:
            kubernetes_validate.validate(each, version, strict=True)


def test_validator_refuses_a_misspelt_field(local: list[Manifest]) -> None:
    worker = object_of(local, "Deployment", "worker")
    worker["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, VERSIONS[0], strict=True)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("name", SYSTEMS)
def test_system_follows_the_policy(
    name: str, policy: Callable[[list[Manifest]], list[str]], scratch: Path
) -> None:
    assert policy(rendered(name, scratch)) == []


BREAKAGES: dict[Callable[[list[Manifest]], list[str]], Callable[[dict[str, Any]], Any]] = {
    policies.resources_are_limited: lambda pod: pod["containers"][0]["resources"].pop("limits"),
    policies.health_is_probed: lambda pod: pod["containers"][0].pop("readinessProbe"),
    policies.pods_are_restricted: lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    policies.images_are_pinned: lambda pod: pod["containers"][0].update(image="minio/minio:RELEASE.1"),
    policies.environment_is_known: lambda pod: pod["containers"][0]["env"].append({"name": "DRAIN_SECOND"}),
    policies.environment_is_valid: lambda pod: pod["containers"][0]["env"].append(
        {"name": "LOG_LEVEL", "value": "loud"}
    ),
    policies.secrets_are_made: lambda pod: pod["containers"][0]["env"].append(
        {"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "redis-users", "key": "p"}}}
    ),
    policies.workers_drain_within_their_grace: lambda pod: pod.update(terminationGracePeriodSeconds=30),
    policies.heartbeats_are_probed: lambda pod: pod["containers"][0].update(
        livenessProbe={"exec": {"command": ["true"]}}
    ),
}


@pytest.mark.parametrize("policy", BREAKAGES, ids=lambda policy: policy.__name__)
def test_policy_sees_a_broken_manifest(
    policy: Callable[[list[Manifest]], list[str]], local: list[Manifest]
) -> None:
    BREAKAGES[policy](pod_of(local, "worker"))
    assert len(policy(local)) == 1


def test_policy_sees_a_wrong_port_of_a_service(local: list[Manifest]) -> None:
    object_of(local, "Service", "redis")["spec"]["ports"][0]["targetPort"] = "rdis"
    assert policies.services_reach_pods(local) == ["Service/redis: its pods have no port rdis"]


def test_policy_sees_a_pod_without_network_policy(local: list[Manifest]) -> None:
    local.remove(object_of(local, "NetworkPolicy", "keeper"))
    assert policies.pods_have_a_network_policy(local) == ["Deployment/keeper has no network policy"]


def test_public_names_of_services_are_kept(local: list[Manifest]) -> None:
    services = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): (
            each["spec"].get("type", "ClusterIP"),
            [port["port"] for port in each["spec"]["ports"]],
        )
        for each in of_kind(local, "Service")
    }
    assert services == {
        ("default", "rest-server"): ("NodePort", [5000]),
        ("default", "redis"): ("ClusterIP", [6379]),
        ("default", "mysql"): ("ClusterIP", [3306]),
        ("default", "rabbitmq"): ("ClusterIP", [5672, 15672]),
        ("default", "minio"): ("ExternalName", [9000, 9001]),
        ("minio-ns", "minio-proj"): ("ClusterIP", [9000, 9001]),
        ("minio-ns", "myminio-proj"): ("ClusterIP", [9000, 9001]),
    }


def test_only_the_debug_component_enables_debug_endpoints(scratch: Path) -> None:
    enabled = [
        name
        for name in SYSTEMS
        if any(
            "DEBUG_ENDPOINTS" in each.get("data", {})
            for each in of_kind(rendered(name, scratch), "ConfigMap")
        )
    ]
    assert enabled == ["deploy/components/debug"]


#: A second of song takes 1.9 MB of scratch space (docs/measurements/cluster.md), here rounded up.
SCRATCH_BYTES_PER_S = 2_000_000


@pytest.mark.parametrize("name", SYSTEMS)
def test_scratch_space_of_a_worker_is_enough_for_the_longest_song(name: str, scratch: Path) -> None:
    manifests = rendered(name, scratch)
    (config,) = [each for each in of_kind(manifests, "ConfigMap") if "MINIO_HOST" in each["data"]]
    seconds = int(config["data"].get("MAX_DURATION_S", WorkerSettings.model_fields["max_duration_s"].default))
    pod = pod_of(manifests, "worker")
    (tmp,) = (each for each in pod["volumes"] if each["name"] == "tmp")
    requested = pod["containers"][0]["resources"]["requests"].get("ephemeral-storage")
    assert _gib(tmp["emptyDir"]["sizeLimit"]) * 2**30 >= seconds * SCRATCH_BYTES_PER_S
    # The local overlay has small requests: the node has one worker, and its disk is not shared.
    assert requested or name.endswith(("/local", *COMPONENTS))
    assert not requested or _gib(requested) * 2**30 >= seconds * SCRATCH_BYTES_PER_S


def _gib(quantity: str) -> int:
    return int(quantity.removesuffix("Gi"))


def test_gpu_worker_requests_one_gpu_and_its_image(scratch: Path) -> None:
    for name in ("deploy/components/gpu", "deploy/overlays/gke-gpu"):
        container = pod_of(rendered(name, scratch), "worker")["containers"][0]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["image"].startswith("msaas-worker-gpu:")


def test_worker_has_memory_for_its_cores(local: list[Manifest]) -> None:
    limits = pod_of(local, "worker")["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "2", "memory": "4Gi"}
