"""Network policies: each pod reaches its servers, and servers accept their clients only."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from msaas.webhooks.ssrf_guard import is_allowed
from tests.manifests import policies
from tests.manifests.finding import object_of, pod_of, target_of
from tests.manifests.policies import of_kind
from tests.manifests.rendering import Manifest, rendered

pytestmark = pytest.mark.process

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
#: Addresses that neither the service nor its network policy reach: one of each network.
PRIVATE = (
    *("0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
)
PUBLIC_ADDRESSES = ("1.1.1.1", "100.128.0.1", "168.63.129.17", "172.32.0.1", "192.0.1.1", "223.255.255.1")


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
        name: {target_of(peer) for found, rule in rules if found == name for peer in rule["to"]}
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


def test_song_workers_have_neither_redis_nor_a_store(local: list[Manifest]) -> None:
    container = pod_of(local, "song-worker")["containers"][0]
    names = {each["name"] for each in container["env"]}
    assert {"BROKER_ADDR", "BACKEND_ADDR", "WORKER_TOKEN"} <= names
    assert not any(name.startswith(("REDIS_", "MINIO_", "WEBHOOK_")) for name in names)
    # In the ConfigMap, BROKER_ADDR would make every worker one of RabbitMQ.
    (config,) = [each["data"] for each in of_kind(local, "ConfigMap") if "MINIO_HOST" in each["data"]]
    assert "BROKER_ADDR" not in config
    assert config["QUEUE"] == "rabbitmq"


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
