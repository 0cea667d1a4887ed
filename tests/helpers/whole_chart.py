"""The chart as a whole, with values under which it runs on the tests' API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "helm" / "limnad"

VALUES: dict[str, Any] = {
    "operator": {"replicas": 1},
    "cluster": {"workers": {"replicas": 2}},
    # Kinds of the Prometheus operator, which this server has not.
    "monitoring": {"podMonitor": {"enabled": False}, "rules": {"enabled": False}},
}
