"""Each kustomization renders, is valid for current Kubernetes versions, and follows our policies."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from prometheus_client import CollectorRegistry, generate_latest

import msaas.metrics
from msaas.queue.memory import InMemoryQueue
from msaas.webhooks.ssrf_guard import is_allowed
from msaas_rest.health.metrics import Metrics
from msaas_rest.http.disk_budget import DiskBudget
from msaas_rest.settings import RestSettings
from msaas_worker.settings import WorkerSettings
from tests.manifests import policies
from tests.manifests.policies import POLICIES, of_kind
from tests.manifests.rendering import COMPONENTS, KUSTOMIZATIONS, ROOT, SYSTEMS, Manifest, rendered

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


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kustomizations")


@pytest.fixture
def local(scratch: Path) -> list[Manifest]:
    return rendered("deploy/overlays/local", scratch)


def object_of(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    return found


def pod_of(manifests: list[Manifest], name: str) -> dict[str, Any]:
    (found,) = [pod for workload, pod in policies.pods(manifests) if workload["metadata"]["name"] == name]
    return found


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


def test_redis_keeps_every_write(local: list[Manifest]) -> None:
    (config,) = [each for each in of_kind(local, "ConfigMap") if "redis.conf" in each["data"]]
    lines = config["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    redis = object_of(local, "StatefulSet", "redis")
    assert [claim["metadata"]["name"] for claim in redis["spec"]["volumeClaimTemplates"]] == ["data"]


#: Services by the servers they may reach. `public` stands for public addresses.
REACHES = {
    "rest": {"redis", "minio", "mysql", "rabbitmq"},
    "worker": {"redis", "minio", "public"},
    "song-worker": {"rest", "rabbitmq"},
    "keeper": {"redis", "minio", "mysql", "public"},
    "logs": {"redis"},
    "buckets": {"minio"},
    "redis": set(),
    "minio": set(),
    "mysql": set(),
    "rabbitmq": set(),
}


def test_pods_reach_their_servers_only(local: list[Manifest]) -> None:
    names = {
        workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for workload, _ in policies.pods(local)
    }
    rules = [
        (name, rule)
        for each in of_kind(local, "NetworkPolicy")
        if each["metadata"]["name"] != "msaas-dns"
        for name in names
        if _selects(each["spec"]["podSelector"], name)
        for rule in each["spec"].get("egress", [])
    ]
    reaches = {
        name: {_target(peer) for found, rule in rules if found == name for peer in rule["to"]}
        for name in names
    }
    assert reaches == REACHES


def _selects(selector: dict[str, Any], name: str) -> bool:
    """Return whether the policy of a selector is one of the pods of this name."""
    expressions = selector.get("matchExpressions", [])
    values = [value for expression in expressions for value in expression["values"]]
    return name in (selector["matchLabels"].get("app.kubernetes.io/name"), *values)


def test_servers_accept_their_clients_only(local: list[Manifest]) -> None:
    for server in ("redis", "minio", "mysql", "rabbitmq"):
        (rule,) = object_of(local, "NetworkPolicy", server)["spec"]["ingress"]
        (names,) = rule["from"][0]["podSelector"]["matchExpressions"]
        assert set(names["values"]) == {name for name, servers in REACHES.items() if server in servers}


def _target(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return "public"
    return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"])


def test_song_workers_have_neither_redis_nor_a_store(local: list[Manifest]) -> None:
    container = pod_of(local, "song-worker")["containers"][0]
    names = {each["name"] for each in container["env"]}
    assert {"BROKER_ADDR", "BACKEND_ADDR", "WORKER_TOKEN"} <= names
    assert not any(name.startswith(("REDIS_", "MINIO_", "WEBHOOK_")) for name in names)
    # In the ConfigMap, BROKER_ADDR would make every worker one of RabbitMQ.
    (config,) = [each["data"] for each in of_kind(local, "ConfigMap") if "MINIO_HOST" in each["data"]]
    assert "BROKER_ADDR" not in config
    assert config["QUEUE"] == "rabbitmq"


def test_messages_of_the_broker_hold_the_largest_song(local: list[Manifest]) -> None:
    (broker,) = [each["data"] for each in of_kind(local, "ConfigMap") if "rabbitmq.conf" in each["data"]]
    (config,) = [each["data"] for each in of_kind(local, "ConfigMap") if "MINIO_HOST" in each["data"]]
    limit_mib = int(config["BROKER_MAX_MESSAGE_MB"])
    assert f"max_message_size = {limit_mib * 1024 * 1024}\n" in broker["rabbitmq.conf"]
    assert limit_mib >= RestSettings.model_fields["max_song_upload_mb"].default


@pytest.mark.parametrize(
    ("component", "server", "clients"),
    [
        ("external-database", "mysql", {"rest", "keeper"}),
        ("external-broker", "rabbitmq", {"rest", "song-worker"}),
    ],
)
def test_external_servers_replace_the_included_ones(
    component: str, server: str, clients: set[str], scratch: Path
) -> None:
    manifests = rendered(f"deploy/components/{component}", scratch)
    workloads = {workload["metadata"]["name"] for workload, _ in policies.pods(manifests)}
    assert server not in workloads
    assert not [each for each in of_kind(manifests, "Service") if each["metadata"]["name"] == server]
    blocks = [
        each["spec"]
        for each in of_kind(manifests, "NetworkPolicy")
        for rule in each["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if peer == {"ipBlock": {"cidr": "192.0.2.0/24"}}
    ]
    (spec,) = blocks
    (names,) = spec["podSelector"]["matchExpressions"]
    assert set(names["values"]) == clients
    targets = {
        _target(peer)
        for each in of_kind(manifests, "NetworkPolicy")
        for rule in each["spec"].get("egress", [])
        for peer in rule.get("to", [])
    }
    assert server not in targets


def test_garage_replaces_minio_behind_its_names(local: list[Manifest], scratch: Path) -> None:
    manifests = rendered("deploy/components/garage", scratch)
    workloads = {workload["metadata"]["name"] for workload, _ in policies.pods(manifests)}
    assert "garage" in workloads
    assert "minio-proj" not in workloads
    assert of_kind(manifests, "Service") == of_kind(local, "Service")
    (config,) = [each["data"] for each in of_kind(manifests, "ConfigMap") if "MINIO_HOST" in each["data"]]
    assert config["MINIO_USERS"] == "false"
    (garage,) = [each["data"] for each in of_kind(manifests, "ConfigMap") if "garage.toml" in each["data"]]
    settings = tomllib.loads(garage["garage.toml"])
    assert settings["s3_api"]["api_bind_addr"].endswith(":9000")
    assert settings["admin"]["api_bind_addr"].endswith(":9001")
    assert settings["data_fsync"] is settings["metadata_fsync"] is True


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


def test_bucket_job_creates_the_buckets(local: list[Manifest], tmp_path: Path) -> None:
    container = pod_of(local, "make-buckets")["containers"][0]
    command = [sys.executable, *container["command"][1:]]
    assert container["command"][0] == "python"
    subprocess.run(command, env={**os.environ, "STORE_DIR": str(tmp_path)}, check=True, timeout=60)
    assert {"input-tracks", "output-tracks"} <= {each.name for each in tmp_path.iterdir()}


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


def test_external_s3_replaces_minio(scratch: Path) -> None:
    manifests = rendered("deploy/overlays/external-s3", scratch)
    assert [each for each in manifests if "minio" in policies.name_of(each)] == []
    (config,) = [each for each in of_kind(manifests, "ConfigMap") if "MINIO_HOST" in each["data"]]
    assert config["data"]["MINIO_SECURE"] == "true"
    for name in ("rest", "worker", "keeper", "buckets"):
        egress = object_of(manifests, "NetworkPolicy", name)["spec"]["egress"]
        (rule,) = (rule for rule in egress if {"port": 443, "protocol": "TCP"} in rule.get("ports", []))
        # Addresses for documentation: deploy-all.sh asks for the network of the server.
        assert rule["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    (rule,) = object_of(manifests, "NetworkPolicy", "song-worker")["spec"]["egress"]
    assert _target(rule["to"][0]) == "rest"


#: Addresses that neither the service nor its network policy reach: one of each network.
PRIVATE = (
    *("0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
)
PUBLIC_ADDRESSES = ("1.1.1.1", "100.128.0.1", "168.63.129.17", "172.32.0.1", "192.0.1.1", "223.255.255.1")


def test_rest_fetches_from_public_addresses_with_its_component(local: list[Manifest], scratch: Path) -> None:
    manifests = rendered("deploy/components/url-fetch", scratch)
    rule = object_of(manifests, "NetworkPolicy", "rest")["spec"]["egress"].pop()
    assert [each for each in manifests if each not in local] == []
    assert rule["ports"] == [{"port": port, "protocol": "TCP"} for port in (80, 443)]
    (peer,) = rule["to"]
    for text in (*PRIVATE, *PUBLIC_ADDRESSES):
        is_public = text in PUBLIC_ADDRESSES
        assert is_allowed(ip_address(text), ()) == is_public, text
        assert _reaches(peer["ipBlock"], text) == is_public, text


def _reaches(block: dict[str, Any], text: str) -> bool:
    address = ip_address(text)
    return address in ip_network(block["cidr"]) and not any(
        address in ip_network(each) for each in block["except"]
    )


def test_links_lead_to_the_store_with_their_component(scratch: Path) -> None:
    configs = {
        name: config["data"]
        for name in SYSTEMS
        for config in of_kind(rendered(name, scratch), "ConfigMap")
        if "MINIO_HOST" in config["data"]
    }
    found = {name: config["PUBLIC_S3_URL"] for name, config in configs.items() if "PUBLIC_S3_URL" in config}
    assert found == {"deploy/components/public-s3": "https://s3.example.org"}
    assert configs["deploy/components/public-s3"]["PUBLIC_S3_REGION"] == "us-east-1"


#: Kustomizations that put the API within reach of others.
PUBLIC = {
    *("deploy/overlays/gke", "deploy/overlays/gke-gpu", "deploy/overlays/external-s3"),
    *("deploy/components/ingress", "deploy/components/gateway", "deploy/components/api-key"),
}


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


def test_scaling_counts_open_jobs_and_removes_no_busy_worker(scratch: Path) -> None:
    manifests = rendered("deploy/components/autoscaling", scratch)
    (scaled,) = of_kind(manifests, "ScaledObject")
    advanced = scaled["spec"]["advanced"]
    counted = advanced["scalingModifiers"]["formula"].split(" + ")
    assert counted == [trigger["name"] for trigger in scaled["spec"]["triggers"]]
    assert set(counted) == {"waiting", "in_flight"}
    assert advanced["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] == {"selectPolicy": "Disabled"}
    assert scaled["spec"]["scaleTargetRef"] == {"name": "worker"}
    assert "replicas" not in object_of(manifests, "Deployment", "worker")["spec"]
    assert object_of(manifests, "Deployment", "song-worker")["spec"]["replicas"] >= 1
    assert object_of(manifests, "Deployment", "keeper")["spec"]["replicas"] >= 1


def samples_of_all_services() -> list[str]:
    """Return the samples of rest and of worker and keeper, with one observation of each metric."""
    metrics = Metrics(queue=InMemoryQueue(), disk_budget=DiskBudget(1))
    metrics.requests.labels("GET", "/", 200).inc()
    metrics.durations.labels("GET", "/").observe(1)
    msaas.metrics.JOBS.labels("failed", "starter")
    msaas.metrics.TASK_RUNS.labels("reaper", "failed")
    msaas.metrics.CALLBACKS.labels("dead")
    for histogram in (msaas.metrics.SEPARATION, msaas.metrics.REAL_TIME_FACTOR):
        histogram.labels("starter").observe(1)
    return [*_samples(metrics.registry), *_samples(msaas.metrics.REGISTRY)]


def _samples(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]


def test_monitoring_and_scaling_use_metrics_that_exist(scratch: Path) -> None:
    samples = samples_of_all_services()
    names = {re.split("[ {]", sample)[0] for sample in samples}
    states = {state for sample in samples for state in re.findall(r'state="(\w+)"', sample)}
    rules = of_kind(rendered("deploy/components/monitoring", scratch), "PrometheusRule", "ConfigMap")
    scaling = of_kind(rendered("deploy/components/autoscaling", scratch), "ScaledObject")
    used = json.dumps([*scaling, *rules]).replace("\\", "")
    assert set(re.findall(r"msaas_\w+", used)) <= names
    assert set(re.findall(r'state="(\w+)"', used)) <= states


def test_dashboard_shows_every_metric(scratch: Path) -> None:
    (dashboard,) = [
        each
        for each in of_kind(rendered("deploy/components/monitoring", scratch), "ConfigMap")
        if "msaas.json" in each["data"]
    ]
    families = {
        re.sub(r"_(bucket|sum|count)$", "", re.split("[ {]", sample)[0])
        for sample in samples_of_all_services()
    }
    shown = dashboard["data"]["msaas.json"]
    assert [family for family in sorted(families) if family not in shown] == []


def test_prometheus_reaches_the_metrics_of_worker_and_keeper(scratch: Path) -> None:
    manifests = rendered("deploy/components/monitoring", scratch)
    (monitor,) = of_kind(manifests, "PodMonitor")
    (names,) = monitor["spec"]["selector"]["matchExpressions"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert set(names["values"]) == {"worker", "keeper"}
    for name in names["values"]:
        container = pod_of(manifests, name)["containers"][0]
        env = {each["name"]: each.get("value") for each in container["env"]}
        port = {each["name"]: each["containerPort"] for each in container["ports"]}[endpoint["port"]]
        assert env["METRICS_PORT"] == str(port)
        ingress = object_of(manifests, "NetworkPolicy", name)["spec"]["ingress"]
        assert ingress == [{"ports": [{"port": endpoint["port"]}]}]


def test_docs_explain_every_alert() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy/components/monitoring/rules.yaml").read_text())
    text = (ROOT / "docs/operations.md").read_text()
    assert [alert for alert in alerts if f"`{alert}`" not in text] == []
