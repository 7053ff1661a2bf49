"""Metrics, alerts, dashboard and scaling use names that exist."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import msaas.metrics
from msaas.queue.memory import InMemoryQueue
from msaas_rest.health.metrics import Metrics
from msaas_rest.http.disk_budget import DiskBudget
from tests.manifests.finding import object_of, pod_of
from tests.manifests.policies import of_kind
from tests.manifests.rendering import ROOT, rendered

pytestmark = pytest.mark.process


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
