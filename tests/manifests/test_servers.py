"""Servers inside and outside of the cluster: Redis, the store, the broker, the database."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from msaas_rest.settings import RestSettings
from tests.manifests import policies
from tests.manifests.finding import object_of, pod_of, target_of
from tests.manifests.policies import of_kind
from tests.manifests.rendering import SYSTEMS, Manifest, rendered

pytestmark = pytest.mark.process


def test_redis_keeps_every_write(local: list[Manifest]) -> None:
    (config,) = [each for each in of_kind(local, "ConfigMap") if "redis.conf" in each["data"]]
    lines = config["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    redis = object_of(local, "StatefulSet", "redis")
    assert [claim["metadata"]["name"] for claim in redis["spec"]["volumeClaimTemplates"]] == ["data"]


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
        target_of(peer)
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


def test_bucket_job_creates_the_buckets(local: list[Manifest], tmp_path: Path) -> None:
    container = pod_of(local, "make-buckets")["containers"][0]
    command = [sys.executable, *container["command"][1:]]
    assert container["command"][0] == "python"
    subprocess.run(command, env={**os.environ, "STORE_DIR": str(tmp_path)}, check=True, timeout=60)
    assert {"input-tracks", "output-tracks"} <= {each.name for each in tmp_path.iterdir()}


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
    assert target_of(rule["to"][0]) == "rest"


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
