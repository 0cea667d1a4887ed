"""The chart as a whole, with values under which it runs on the tests' API server, or on a cluster with nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "helm" / "limnad"

SOON = [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]
"""A pod's that leaves a node which is not heard of: of several, the shortest counts."""


def _away_from(component: str, weight: int) -> dict[str, Any]:
    chosen = {"matchLabels": {"app.kubernetes.io/component": component}}
    return {
        "weight": weight,
        "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": chosen},
    }


APART = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [_away_from("redis", 100), _away_from("worker", 50)]
    }
}
"""A worker's that keeps away from Redis above all: whoever loses its node has not lost the store as well."""

SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}}
"""What a worker asks for, so that one node has room for some."""

VALUES: dict[str, Any] = {
    "operator": {"replicas": 1},
    "cluster": {
        "workers": {
            "replicas": 2,
            "template": {"terminationGracePeriodSeconds": 10, "tolerations": SOON, "affinity": APART},
        },
        "deadlines": {"lost": "2s"},
    },
    # Kinds of the Prometheus operator, which this server has not.
    "monitoring": {"podMonitor": {"enabled": False}, "rules": {"enabled": False}},
}


def values_of(image: str, redis: str = "") -> dict[str, Any]:
    """Under which it runs on a cluster with nodes.

    Args:
        image: Limnad's, which nodes have or can pull: ``registry/limnad:0.1.0``.
        redis: Another one of Redis than the chart's.
    """
    cluster = {**VALUES["cluster"], "workers": {**VALUES["cluster"]["workers"], "resources": SMALL}}
    operator = {**VALUES["operator"], "image": _image(image)}
    values = {**VALUES, "cluster": cluster, "operator": operator, "image": _image(image)}
    return {**values, "redis": {"image": _image(redis)}} if redis else values


def _image(name: str) -> dict[str, Any]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}
