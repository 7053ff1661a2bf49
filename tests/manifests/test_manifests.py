"""Each kustomization renders, is what today's Kubernetes accepts, and keeps our own rules."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from prometheus_client import generate_latest

from msaas.testing import InMemoryQueue
from msaas_rest.budget import Budget
from msaas_rest.health.metrics import Metrics
from tests.manifests import policies
from tests.manifests.policies import POLICIES, of_kind
from tests.manifests.rendering import COMPONENTS, KUSTOMIZATIONS, ROOT, SYSTEMS, Manifest, rendered

#: Kinds that a cluster learns from others; their schemas are not Kubernetes' own.
FOREIGN = {
    "ScaledObject": "keda.sh/v1alpha1",
    "ClusterIssuer": "cert-manager.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "BackendConfig": "cloud.google.com/v1",
}
VERSIONS = [kubernetes_validate.latest_version(), "1.31"]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kustomizations")


@pytest.fixture
def local(scratch: Path) -> list[Manifest]:
    return rendered("deploy/overlays/local", scratch)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUSTOMIZATIONS + COMPONENTS)
def test_it_renders_and_kubernetes_accepts_it(name: str, version: str, scratch: Path) -> None:
    manifests = rendered(name, scratch)
    assert manifests
    for each in manifests:
        if each["kind"] in FOREIGN:
            assert each["apiVersion"] == FOREIGN[each["kind"]]
        else:
            kubernetes_validate.validate(each, version, strict=True)


def test_the_validator_refuses_a_field_that_is_misspelt(local: list[Manifest]) -> None:
    (worker,) = [each for each in of_kind(local, "Deployment") if each["metadata"]["name"] == "worker"]
    worker["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, VERSIONS[0], strict=True)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("name", SYSTEMS)
def test_our_rules_are_kept(name: str, policy: Callable[[list[Manifest]], list[str]], scratch: Path) -> None:
    assert policy(rendered(name, scratch)) == []


def pod_of(manifests: list[Manifest], name: str) -> dict[str, Any]:
    (found,) = [pod for workload, pod in policies.pods(manifests) if workload["metadata"]["name"] == name]
    return found


BREAKAGES: dict[Callable[[list[Manifest]], list[str]], Callable[[dict[str, Any]], Any]] = {
    policies.resources_are_limited: lambda pod: pod["containers"][0]["resources"].pop("limits"),
    policies.health_is_probed: lambda pod: pod["containers"][0].pop("livenessProbe"),
    policies.pods_are_restricted: lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    policies.images_are_pinned: lambda pod: pod["containers"][0].update(image="minio/minio:RELEASE.1"),
    policies.environment_is_known: lambda pod: pod["containers"][0]["env"].append({"name": "DRAIN_SECOND"}),
    policies.secrets_are_made: lambda pod: pod["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"].update(
        key="p"
    ),
    policies.workers_drain_within_their_grace: lambda pod: pod.update(terminationGracePeriodSeconds=30),
}


@pytest.mark.parametrize("policy", BREAKAGES, ids=lambda policy: policy.__name__)
def test_a_broken_rule_is_seen(policy: Callable[[list[Manifest]], list[str]], local: list[Manifest]) -> None:
    BREAKAGES[policy](pod_of(local, "worker"))
    assert len(policy(local)) == 1


def test_a_service_with_a_wrong_port_is_seen(local: list[Manifest]) -> None:
    (service,) = [each for each in of_kind(local, "Service") if each["metadata"]["name"] == "redis"]
    service["spec"]["ports"][0]["targetPort"] = "rdis"
    assert policies.services_reach_pods(local) == ["Service/redis: no pod has rdis"]


def test_the_names_that_people_know_stand(local: list[Manifest]) -> None:
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
        ("default", "minio"): ("ExternalName", [9000, 9001]),
        ("minio-ns", "minio-proj"): ("ClusterIP", [9000, 9001]),
        ("minio-ns", "myminio-proj"): ("ClusterIP", [9000, 9001]),
    }


def test_redis_forgets_nothing(local: list[Manifest]) -> None:
    (config,) = [each for each in of_kind(local, "ConfigMap") if "redis.conf" in each["data"]]
    lines = config["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    (redis,) = [each for each in of_kind(local, "StatefulSet") if each["metadata"]["name"] == "redis"]
    assert [claim["metadata"]["name"] for claim in redis["spec"]["volumeClaimTemplates"]] == ["data"]


def test_debug_endpoints_are_for_the_debug_component_alone(scratch: Path) -> None:
    with_them = [
        name
        for name in SYSTEMS
        if any(
            "DEBUG_ENDPOINTS" in each.get("data", {})
            for each in of_kind(rendered(name, scratch), "ConfigMap")
        )
    ]
    assert with_them == ["deploy/components/debug"]


def test_another_s3_takes_the_place_of_minio(scratch: Path) -> None:
    manifests = rendered("deploy/overlays/external-s3", scratch)
    assert [each for each in manifests if "minio" in policies.name_of(each)] == []
    (config,) = [each for each in of_kind(manifests, "ConfigMap") if "MINIO_HOST" in each["data"]]
    assert config["data"]["MINIO_SECURE"] == "true"


def test_a_gpu_worker_asks_for_one_gpu_and_for_the_image_that_can_use_it(scratch: Path) -> None:
    for name in ("deploy/components/gpu", "deploy/overlays/gke-gpu"):
        container = pod_of(rendered(name, scratch), "worker")["containers"][0]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["image"].startswith("msaas-worker-gpu:")


def test_a_worker_has_no_more_cores_than_its_memory_is_for(local: list[Manifest]) -> None:
    limits = pod_of(local, "worker")["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "2", "memory": "4Gi"}


def test_a_busy_worker_is_never_the_victim_of_scaling(scratch: Path) -> None:
    manifests = rendered("deploy/components/autoscaling", scratch)
    (scaled,) = of_kind(manifests, "ScaledObject")
    advanced = scaled["spec"]["advanced"]
    counted = advanced["scalingModifiers"]["formula"].split(" + ")
    assert counted == [trigger["name"] for trigger in scaled["spec"]["triggers"]]
    # Only workers return what is delayed, so it keeps one, too.
    assert set(counted) == {"waiting", "in_flight", "delayed"}
    assert advanced["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] == {"selectPolicy": "Disabled"}
    (worker,) = [each for each in of_kind(manifests, "Deployment") if each["metadata"]["name"] == "worker"]
    assert "replicas" not in worker["spec"]


def test_what_is_scaled_alerted_and_drawn_by_is_what_the_api_measures(scratch: Path) -> None:
    metrics = Metrics(queue=InMemoryQueue(), budget=Budget(1))
    metrics.requests.labels("GET", "/", 200).inc()
    samples = [line for line in generate_latest(metrics.registry).decode().splitlines() if line[0] != "#"]
    measured = {re.split("[ {]", sample)[0] for sample in samples}
    states = {state for sample in samples for state in re.findall(r'state="(\w+)"', sample)}
    rules = of_kind(rendered("deploy/components/monitoring", scratch), "PrometheusRule", "ConfigMap")
    scaling = of_kind(rendered("deploy/components/autoscaling", scratch), "ScaledObject")
    used = json.dumps([*scaling, *rules]).replace("\\", "")
    assert set(re.findall(r"msaas_\w+", used)) <= measured
    assert set(re.findall(r'state="(\w+)"', used)) <= states


def test_every_alert_is_explained() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy/components/monitoring/rules.yaml").read_text())
    text = (ROOT / "docs/operations.md").read_text()
    assert [alert for alert in alerts if f"`{alert}`" not in text] == []
