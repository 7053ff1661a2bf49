"""Finds objects in rendered manifests."""

from typing import Any

from tests.manifests import policies
from tests.manifests.policies import of_kind
from tests.manifests.rendering import Manifest


def object_of(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    return found


def pod_of(manifests: list[Manifest], name: str) -> dict[str, Any]:
    (found,) = [pod for workload, pod in policies.pods(manifests) if workload["metadata"]["name"] == name]
    return found


def target_of(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return "public"
    return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"])
