"""The chart as a whole, with values under which it runs on the tests' API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "helm" / "limnad"

SOON = [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]
"""A pod's that leaves a node which is not heard of: of several, the shortest counts."""

VALUES: dict[str, Any] = {
    "operator": {"replicas": 1},
    "cluster": {
        "workers": {"replicas": 2, "template": {"terminationGracePeriodSeconds": 10, "tolerations": SOON}},
        "deadlines": {"lost": "2s"},
    },
    # Kinds of the Prometheus operator, which this server has not.
    "monitoring": {"podMonitor": {"enabled": False}, "rules": {"enabled": False}},
}
