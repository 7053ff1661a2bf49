"""Policies of our manifests, beyond the schemas of Kubernetes. Each returns its complaints."""

import os
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from pydantic.fields import FieldInfo

from msaas.errors import MalformedSettings
from msaas.settings import Settings, StoreUsersSettings
from msaas_keeper.settings import KeeperSettings
from msaas_logs.settings import LogsSettings
from msaas_rest.settings import RestSettings
from msaas_worker.settings import BrokerWorkerSettings, WorkerSettings
from tests.manifests.rendering import Manifest

_TEMPLATED = {"Deployment", "StatefulSet", "Job"}
SETTINGS: dict[str, type[Settings]] = {
    "rest": RestSettings,
    "worker": WorkerSettings,
    "keeper": KeeperSettings,
    "logs": LogsSettings,
    "make-buckets": StoreUsersSettings,
}


def settings_of(container: dict[str, Any]) -> type[Settings] | None:
    """Return the settings that a container reads: `BROKER_ADDR` makes a worker one of RabbitMQ."""
    if container["name"] == "worker" and any(each["name"] == "BROKER_ADDR" for each in container["env"]):
        return BrokerWorkerSettings
    return SETTINGS.get(container["name"])


#: Heartbeat files of the services without HTTP.
HEARTBEATS = {
    "worker": "/tmp/msaas-worker-*/heartbeat",
    "keeper": "/tmp/msaas-keeper-heartbeat",
    "logs": "/tmp/msaas-logs-heartbeat",
}
#: The Secrets that deploy-all.sh creates, with their keys.
SECRETS = {
    "redis-users": {"rest", "worker", "keeper", "logs", "client", "operator"},
    "minio": {"access-key", "secret-key"},
    "store-rest": {"access-key", "secret-key"},
    "store-worker": {"access-key", "secret-key"},
    "store-keeper": {"access-key", "secret-key"},
    "api-keys": {"keys"},
    "webhook-secret": {"secret"},
    "mysql": {"password", "root-password"},
    "database": {"url"},
    "rabbitmq": {"password"},
    "broker": {"addr"},
    "worker-token": {"token"},
    "garage": {"rpc-secret"},
}
#: In base64, as a secret of webhooks.
_SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0cy1vZi10aGUtbWFuaWZlc3Rz"
#: Secrets of another form.
_VALUES = {"DATABASE_URL": "mysql://msaas:secret@mysql:3306/msaas", "BROKER_ADDR": "amqp://m:s@rabbitmq:5672"}
#: Images that cannot be pulled any more, or soon cannot.
_UNAVAILABLE = re.compile(
    r"^((docker\.io/)?minio/|(docker\.io/)?bitnami|k8s\.gcr\.io/|gcr\.io/google.containers/|.*ingress-nginx)"
)


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pods(manifests: list[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    """Yield each workload with the spec of its pods."""
    for workload in of_kind(manifests, *_TEMPLATED):
        yield workload, workload["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    for workload, pod in pods(manifests):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield name_of(workload), container


def resources_are_limited(manifests: list[Manifest]) -> list[str]:
    wanted = [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")]
    return [
        f"{where}: {kind} of {resource} are missing"
        for where, container in containers(manifests)
        for kind, resource in wanted
        if resource not in container.get("resources", {}).get(kind, {})
    ]


def health_is_probed(manifests: list[Manifest]) -> list[str]:
    return [
        f"{name_of(workload)}: {probe} is missing"
        for workload, pod in pods(manifests)
        if workload["kind"] != "Job"
        for container in pod["containers"]
        for probe in ("readinessProbe", "livenessProbe")
        if probe not in container
    ]


def pods_are_restricted(manifests: list[Manifest]) -> list[str]:
    """The Pod Security Standard `restricted`, and a read-only root file system."""
    complaints = []
    for workload, pod in pods(manifests):
        context = pod.get("securityContext", {})
        rules = {
            "may run as root": context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0,
            "has no seccomp profile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "mounts an API token": pod.get("automountServiceAccountToken") is False,
            "gets service links": pod.get("enableServiceLinks") is False,
        }
        complaints += [f"{name_of(workload)} {fault}" for fault, is_kept in rules.items() if not is_kept]
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    complaints += [
        f"{where}: {key} is not {value}"
        for where, container in containers(manifests)
        for key, value in wanted.items()
        if container.get("securityContext", {}).get(key) != value
    ]
    return complaints


def complaint_of_image(image: str) -> str | None:
    """Our images have the version of the code as their tag, all others a digest as well."""
    name, _, digest = image.partition("@")
    if name.rpartition("/")[2].partition(":")[2] in ("", "latest"):
        return f"{image} has no tag"
    if not (name.startswith("msaas-") or re.fullmatch(r"sha256:[0-9a-f]{64}", digest)):
        return f"{image} has no digest"
    return f"{image} is unavailable" if _UNAVAILABLE.match(image) else None


def images_are_pinned(manifests: list[Manifest]) -> list[str]:
    found = (complaint_of_image(container["image"]) for _, container in containers(manifests))
    return [complaint for complaint in found if complaint]


def names_of_settings(service: type[Settings]) -> set[str]:
    return {alias.upper() for name, field in service.model_fields.items() for alias in _aliases(name, field)}


def _aliases(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    return [str(each) for each in alias.choices] if alias and not isinstance(alias, str) else [name]  # type: ignore[union-attr]


def environment_is_known(manifests: list[Manifest]) -> list[str]:
    known = set().union(*map(names_of_settings, SETTINGS.values()))
    complaints = [
        f"ConfigMap: no service reads {name}"
        for config in of_kind(manifests, "ConfigMap")
        if re.fullmatch(r"msaas(-[a-z0-9]{10})?", config["metadata"]["name"])
        for name in config["data"].keys() - known
    ]
    for where, container in containers(manifests):
        if service := settings_of(container):
            given = {each["name"] for each in container.get("env", [])}
            complaints += [f"{where} does not read {name}" for name in given - names_of_settings(service)]
    return complaints


def environment_is_valid(manifests: list[Manifest]) -> list[str]:
    """Each service accepts its environment, with any text for its Secrets."""
    shared = {
        name: value
        for config in of_kind(manifests, "ConfigMap")
        if config["metadata"]["name"].startswith("msaas")
        for name, value in config["data"].items()
    }
    complaints = []
    for where, container in containers(manifests):
        if service := settings_of(container):
            own = {
                each["name"]: each.get("value", _VALUES.get(each["name"], _SECRET))
                for each in container.get("env", [])
            }
            with patch.dict(os.environ, {**shared, **own}, clear=True):
                complaints += [f"{where}: {error}" for error in _errors(service)]
    return complaints


def _errors(service: type[Settings]) -> list[str]:
    try:
        service.from_env()
    except MalformedSettings as error:
        return [str(error)]
    return []


def secrets_are_made(manifests: list[Manifest]) -> list[str]:
    """Manifests refer to Secrets, and contain none."""
    complaints = [f"{name_of(each)} contains a secret" for each in of_kind(manifests, "Secret")]
    for where, container in containers(manifests):
        for each in container.get("env", []):
            reference = each.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["key"] not in SECRETS.get(reference["name"], ()):
                complaints.append(f"{where}: {reference['name']}/{reference['key']} is not created")
            if not reference and re.search("PASSWORD|SECRET|TOKEN", each["name"]):
                complaints.append(f"{where}: {each['name']} contains a secret")
    return complaints


def services_reach_pods(manifests: list[Manifest]) -> list[str]:
    """Each port of a Service is a port of its pods, and each port of a backend is one of its Service."""
    complaints = []
    for service in of_kind(manifests, "Service"):
        if service["spec"].get("type") == "ExternalName":
            complaints += _external_name(service, manifests)
            continue
        ports = _ports_selected(service, manifests)
        complaints += [
            f"{name_of(service)}: its pods have no port {port['targetPort']}"
            for port in service["spec"]["ports"]
            if port["targetPort"] not in ports
        ]
    served = {
        (each["metadata"]["name"], key)
        for each in of_kind(manifests, "Service")
        for port in each["spec"]["ports"]
        for key in (port["name"], port["port"])
    }
    return complaints + [
        f"{name}:{port} is not the port of a Service" for name, port in _backends(manifests) - served
    ]


def _ports_selected(service: Manifest, manifests: list[Manifest]) -> set[Any]:
    selector = service["spec"]["selector"].items()
    return {
        key
        for workload, pod in pods(manifests)
        if workload["metadata"]["namespace"] == service["metadata"]["namespace"]
        and selector <= workload["spec"]["template"]["metadata"]["labels"].items()
        for container in pod["containers"]
        for port in container.get("ports", [])
        for key in (port["name"], port["containerPort"])
    }


def _external_name(service: Manifest, manifests: list[Manifest]) -> list[str]:
    name, namespace = service["spec"]["externalName"].split(".")[:2]
    wanted = {port["port"] for port in service["spec"]["ports"]}
    for target in of_kind(manifests, "Service"):
        if (target["metadata"]["name"], target["metadata"]["namespace"]) == (name, namespace):
            return (
                []
                if wanted <= {port["port"] for port in target["spec"]["ports"]}
                else [f"{name_of(service)}: its ports differ from those of {name}"]
            )
    return [f"{name_of(service)}: {name}.{namespace} is missing"]


def _backends(manifests: list[Manifest]) -> set[tuple[str, Any]]:
    found = set()
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                found.add((service["name"], next(iter(service["port"].values()))))
    for route in of_kind(manifests, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            found |= {(each["name"], each["port"]) for each in rule["backendRefs"]}
    for scaled in of_kind(manifests, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            host, port = re.findall(
                r"//([^.]+)\.default\.svc\.cluster\.local:(\d+)/", trigger["metadata"]["url"]
            )[0]
            found.add((host, int(port)))
    return found


def selectors_match(manifests: list[Manifest]) -> list[str]:
    """Workloads select their own pods, and budgets and network policies select at least one workload."""
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload, _ in pods(manifests)]
    complaints = [
        f"{name_of(workload)} does not select its pods"
        for workload in of_kind(manifests, "Deployment", "StatefulSet")
        if workload["spec"]["selector"]["matchLabels"] != workload["spec"]["template"]["metadata"]["labels"]
    ]
    for each in of_kind(manifests, "PodDisruptionBudget", "NetworkPolicy"):
        key = "selector" if each["kind"] == "PodDisruptionBudget" else "podSelector"
        wanted = each["spec"][key]["matchLabels"].items()
        if not any(wanted <= had.items() for had in labels):
            complaints.append(f"{name_of(each)} selects no pod")
    return complaints


def workers_drain_within_their_grace(manifests: list[Manifest]) -> list[str]:
    for workload, pod in pods(manifests):
        if workload["metadata"]["name"] == "worker":
            env = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
            if int(env["DRAIN_SECONDS"]) != pod["terminationGracePeriodSeconds"] - 10:
                return ["DRAIN_SECONDS is not the grace period minus 10 s"]
    return []


def heartbeats_are_probed(manifests: list[Manifest]) -> list[str]:
    """A service without HTTP is probed by the age of the file that it writes."""
    complaints = []
    for where, container in containers(manifests):
        file = HEARTBEATS.get(container["name"])
        command = container.get("livenessProbe", {}).get("exec", {}).get("command", [])
        if file and not any(f"find {file} " in word for word in command):
            complaints.append(f"{where}: the liveness probe does not look at {file}")
    return complaints


def pods_have_a_network_policy(manifests: list[Manifest]) -> list[str]:
    """Without a policy of its own a pod may reach everything, and be reached."""
    selectors = [
        policy["spec"]["podSelector"]["matchLabels"].items()
        for policy in of_kind(manifests, "NetworkPolicy")
        if policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ]
    return [
        f"{name_of(workload)} has no network policy"
        for workload, _ in pods(manifests)
        if not any(each <= workload["spec"]["template"]["metadata"]["labels"].items() for each in selectors)
    ]


def all_objects_are_labelled(manifests: list[Manifest]) -> list[str]:
    """`deploy-all.sh --delete` finds objects by this label."""
    return [
        f"{name_of(each)} has no label"
        for each in manifests
        if each["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "msaas"
    ]


POLICIES = [
    resources_are_limited,
    health_is_probed,
    pods_are_restricted,
    images_are_pinned,
    environment_is_known,
    environment_is_valid,
    secrets_are_made,
    services_reach_pods,
    selectors_match,
    workers_drain_within_their_grace,
    heartbeats_are_probed,
    pods_have_a_network_policy,
    all_objects_are_labelled,
]
