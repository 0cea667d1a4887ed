"""All that a cluster owns but its Secrets: what makes pods, what finds them, what guards them."""

from __future__ import annotations

from typing import Any

from limnad_operator.manifests.naming import (
    AGENT_PORT,
    CLIENT_PORT,
    COORDINATOR_PORT,
    ISOLATED,
    TEMPLATE,
    Shape,
    selector,
)
from limnad_operator.manifests.pods import coordinator_template, worker_template

POD_INDEX = "apps.kubernetes.io/pod-index"
"""The label that a StatefulSet gives its pods."""


def children(shape: Shape) -> list[dict[str, Any]]:
    """What is wanted, in the order in which it is made: pods come last."""
    wanted = [
        _service_account(shape),
        _settings(shape),
        _headless(shape),
        _leader_service(shape),
        _disruption_budget(shape),
    ]
    if shape.spec.network.policy:
        wanted += [_network_policy(shape), _isolation(shape)]
    if shape.spec.coordinator.enabled:
        wanted += [_coordinator_service(shape), _coordinator(shape)]
    return [*wanted, _stateful_set(shape)]


def _service_account(shape: Shape) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": shape.metadata(shape.workers, "worker"),
        "automountServiceAccountToken": False,
    }


def _settings(shape: Shape) -> dict[str, Any]:
    """What may change while pods run; the rest is in their variables, so that a template is all that a pod is."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": shape.metadata(shape.settings, "worker"),
        "data": {"config.toml": f"agents = {shape.replicas}\n"},
    }


def _ports(shape: Shape) -> list[dict[str, Any]]:
    ports = {"grpc": CLIENT_PORT, "agent": AGENT_PORT}
    ports |= {"metrics": shape.spec.metrics.port} if shape.spec.metrics.enabled else {}
    ports |= {"page": shape.spec.page.port} if shape.spec.page.enabled else {}
    return [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in ports.items()]


def _headless(shape: Shape) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": shape.metadata(shape.headless, "worker"),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(shape.name, "worker"),
            "ports": [{"name": "agent", "port": AGENT_PORT, "targetPort": "agent", "protocol": "TCP"}],
        },
    }


def _leader_service(shape: Shape) -> dict[str, Any]:
    """Members look for the leader before it is ready, so not-ready addresses are published."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": shape.metadata(shape.leader, "leader"),
        "spec": {
            "type": "ClusterIP",
            "publishNotReadyAddresses": True,
            "selector": {**selector(shape.name, "worker"), POD_INDEX: "0"},
            "ports": _ports(shape),
        },
    }


def _disruption_budget(shape: Shape) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": shape.metadata(shape.workers, "worker"),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(shape.name, "worker")},
        },
    }


def _network_policy(shape: Shape) -> dict[str, Any]:
    """The cluster's pods reach each other; clients, the operator and Prometheus reach what is for them.

    It leaves out pods that are to be cut off: policies only add to what is allowed.
    """
    own = _own(shape)
    operator = {"matchLabels": {"app.kubernetes.io/name": "limnad", "app.kubernetes.io/component": "operator"}}
    clients = shape.spec.network.clients
    if clients is None:
        clients = [{"podSelector": {}}]
    ports = [{"protocol": "TCP", "port": port["port"]} for port in _ports(shape) if port["name"] != "agent"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": shape.metadata(shape.workers, "worker"),
        "spec": {
            "podSelector": {**own, "matchExpressions": [{"key": ISOLATED, "operator": "DoesNotExist"}]},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": own}]},
                {
                    "from": [{"namespaceSelector": {}, "podSelector": operator}],
                    "ports": [{"protocol": "TCP", "port": CLIENT_PORT}],
                },
                {"from": clients, "ports": ports},
            ],
        },
    }


def _isolation(shape: Shape) -> dict[str, Any]:
    """A pod with that label reaches nobody, and nobody reaches it: by one patch, and taken back by another."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": shape.metadata(shape.isolated, "worker"),
        "spec": {
            "podSelector": {**_own(shape), "matchExpressions": [{"key": ISOLATED, "operator": "Exists"}]},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def _own(shape: Shape) -> dict[str, Any]:
    return {"matchLabels": {"app.kubernetes.io/name": "limnad", "app.kubernetes.io/instance": shape.name}}


def _coordinator_service(shape: Shape) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": shape.metadata(shape.coordinator, "coordinator"),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(shape.name, "coordinator"),
            "ports": [{"name": "grpc", "port": COORDINATOR_PORT, "targetPort": "grpc", "protocol": "TCP"}],
        },
    }


def _coordinator(shape: Shape) -> dict[str, Any]:
    """One pod, never two: jobs know it by the identity that its process has chosen."""
    template = coordinator_template(shape)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _annotated(shape.metadata(shape.coordinator, "coordinator"), template),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector(shape.name, "coordinator")},
            "template": template,
        },
    }


def _stateful_set(shape: Shape) -> dict[str, Any]:
    """Pods start together, and are replaced when the operator deletes them: all at once, after a checkpoint."""
    template = worker_template(shape)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _annotated(shape.metadata(shape.workers, "worker"), template),
        "spec": {
            "replicas": shape.replicas,
            "serviceName": shape.headless,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": selector(shape.name, "worker")},
            "template": template,
        },
    }


def _annotated(metadata: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    return {**metadata, "annotations": {TEMPLATE: template["metadata"]["annotations"][TEMPLATE]}}
