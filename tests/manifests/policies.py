"""What we ask of our own manifests, beyond what Kubernetes asks. Each policy returns its complaints."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from msaas.settings import Settings, StoreSettings
from msaas_logs.settings import LogsSettings
from msaas_rest.settings import RestSettings
from msaas_worker.settings import WorkerSettings
from tests.manifests.rendering import Manifest

_TEMPLATED = {"Deployment", "StatefulSet", "Job"}
SETTINGS: dict[str, type[Settings]] = {
    "rest": RestSettings,
    "worker": WorkerSettings,
    "logs": LogsSettings,
    "make-buckets": StoreSettings,
}
#: What deploy-all.sh makes.
SECRETS = {
    "redis": {"password"},
    "minio": {"access-key", "secret-key"},
    "api-keys": {"keys"},
    "webhook-secret": {"secret"},
}
#: Images that cannot be pulled any more, or will not be kept.
_GONE = re.compile(
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
        f"{where}: no {amount} of {what}"
        for where, container in containers(manifests)
        for amount, what in wanted
        if what not in container.get("resources", {}).get(amount, {})
    ]


def health_is_probed(manifests: list[Manifest]) -> list[str]:
    return [
        f"{name_of(workload)}: no {probe}"
        for workload, pod in pods(manifests)
        if workload["kind"] != "Job"
        for container in pod["containers"]
        for probe in ("readinessProbe", "livenessProbe")
        if probe not in container
    ]


def pods_are_restricted(manifests: list[Manifest]) -> list[str]:
    """What the Pod Security Standard `restricted` asks, and a root file system that cannot be written."""
    complaints = []
    for workload, pod in pods(manifests):
        context = pod.get("securityContext", {})
        facts = {
            "runs as root": context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0,
            "has no seccomp profile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "mounts an API token": pod.get("automountServiceAccountToken") is False,
            "is flooded with service links": pod.get("enableServiceLinks") is False,
        }
        complaints += [f"{name_of(workload)} {fact}" for fact, right in facts.items() if not right]
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
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        return f"{image} has neither tag nor digest"
    return f"{image} is gone" if _GONE.match(image) else None


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
        f"ConfigMap: nobody reads {name}"
        for config in of_kind(manifests, "ConfigMap")
        if re.fullmatch(r"msaas(-[a-z0-9]{10})?", config["metadata"]["name"])
        for name in config["data"].keys() - known
    ]
    for where, container in containers(manifests):
        if service := SETTINGS.get(container["name"]):
            given = {each["name"] for each in container.get("env", [])}
            complaints += [f"{where}: nobody reads {name}" for name in given - names_of_settings(service)]
    return complaints


def secrets_are_made(manifests: list[Manifest]) -> list[str]:
    """Secrets are referred to, never written down."""
    complaints = [f"{name_of(each)} is in git" for each in of_kind(manifests, "Secret")]
    for where, container in containers(manifests):
        for each in container.get("env", []):
            reference = each.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["key"] not in SECRETS.get(reference["name"], ()):
                complaints.append(f"{where}: nobody makes {reference['name']}/{reference['key']}")
            if not reference and re.search("PASSWORD|SECRET|TOKEN", each["name"]):
                complaints.append(f"{where}: {each['name']} is written down")
    return complaints


def services_reach_pods(manifests: list[Manifest]) -> list[str]:
    """Each port of a Service is a port of the pods it selects, each backend's port one of its Service."""
    complaints = []
    for service in of_kind(manifests, "Service"):
        if service["spec"].get("type") == "ExternalName":
            complaints += _external_name(service, manifests)
            continue
        ports = _ports_selected(service, manifests)
        complaints += [
            f"{name_of(service)}: no pod has {port['targetPort']}"
            for port in service["spec"]["ports"]
            if port["targetPort"] not in ports
        ]
    served = {
        (each["metadata"]["name"], key)
        for each in of_kind(manifests, "Service")
        for port in each["spec"]["ports"]
        for key in (port["name"], port["port"])
    }
    return complaints + [f"no Service offers {name}:{port}" for name, port in _backends(manifests) - served]


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
                else [f"{name}: ports differ"]
            )
    return [f"{name_of(service)} leads nowhere"]


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


def selectors_select(manifests: list[Manifest]) -> list[str]:
    """Workloads select their own pods; budgets and network policies select somebody."""
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
            complaints.append(f"{name_of(each)} selects nobody")
    return complaints


def workers_drain_within_their_grace(manifests: list[Manifest]) -> list[str]:
    for workload, pod in pods(manifests):
        if workload["metadata"]["name"] == "worker":
            env = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
            if int(env["DRAIN_SECONDS"]) != pod["terminationGracePeriodSeconds"] - 10:
                return ["DRAIN_SECONDS is not the grace period less 10 s"]
    return []


def everything_is_labelled(manifests: list[Manifest]) -> list[str]:
    """What bears the label is what `deploy-all.sh --delete` finds."""
    return [
        f"{name_of(each)} is nobody's"
        for each in manifests
        if each["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "msaas"
    ]


POLICIES = [
    resources_are_limited,
    health_is_probed,
    pods_are_restricted,
    images_are_pinned,
    environment_is_known,
    secrets_are_made,
    services_reach_pods,
    selectors_select,
    workers_drain_within_their_grace,
    everything_is_labelled,
]
