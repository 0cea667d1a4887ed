"""Dashboards as Grafana has them: from a short description to its JSON model.

Everywhere there are a data source, a namespace and a cluster to choose; panels are eight rows high, numbers four.
"""

import re
from dataclasses import dataclass, field
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
"""Columns of Grafana's grid."""

CHOSEN = {
    "CLUSTER": 'namespace=~"$namespace",limnad_cluster=~"$cluster"',
    "JOB": 'namespace=~"$namespace",limnad_cluster=~"$cluster",job_name=~"$job"',
}


@dataclass(frozen=True, slots=True)
class Query:
    """One expression.

    Attributes:
        expression: In PromQL; see `helm.generate.dashboards`.
        legend: How its series are called.
    """

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        title: Above it.
        kind: ``"timeseries"`` or ``"stat"``, one number.
        queries: What it shows.
        unit: Grafana's name of it.
        width: In columns.
        stacked: Series lie on each other.
        bad_from: A value from which on a number is red.
        about: A sentence for who asks.
        shown: Of a number: its ``"value"``, or its legend, ``"name"``.
    """

    title: str
    kind: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = WIDTH // 2
    stacked: bool = False
    bad_from: float | None = None
    about: str = ""
    shown: str = "value"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels.

    Attributes:
        uid: By which links know it.
        title: Its name.
        about: What it is for.
        panels: From left to right, then down.
    """

    uid: str
    title: str
    about: str
    panels: tuple[Panel, ...] = field(repr=False)


def expression(text: str) -> str:
    """With what the variables choose, and Grafana's window.

    >>> expression('rate(a{CLUSTER,state="b"}[RATE])')
    'rate(a{namespace=~"$namespace",limnad_cluster=~"$cluster",state="b"}[$__rate_interval])'
    """
    chosen = re.sub(r"\{(CLUSTER|JOB)\b", lambda match: "{" + CHOSEN[match[1]], text)
    return chosen.replace("[RATE]", "[$__rate_interval]")


def dashboard(page: Dashboard) -> dict[str, Any]:
    """As Grafana has it."""
    of_jobs = any("{JOB" in query.expression for panel in page.panels for query in panel.queries)
    return {
        "uid": page.uid,
        "title": page.title,
        "description": page.about,
        "tags": ["limnad"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["limnad"], "title": "Limnad", "asDropdown": True, "keepTime": True}],
        "templating": {"list": _variables(of_jobs=of_jobs)},
        "panels": _placed(page.panels),
    }


def _variables(*, of_jobs: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    variables = [
        source,
        _variable("namespace", "Namespace", "label_values(limnad_build_info, namespace)"),
        _variable("cluster", "Cluster", 'label_values(limnad_build_info{namespace=~"$namespace"}, limnad_cluster)'),
    ]
    if of_jobs:
        variables.append(_variable("job", "Job", f"label_values(limnad_job_state{{{CHOSEN['CLUSTER']}}}, job_name)"))
    return variables


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # also what has no such label: a Prometheus of your own without the PodMonitor's relabelling
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    placed, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > WIDTH:
            x, y = 0, y + height
        height = 4 if panel.kind == "stat" else 8
        placed.append(_panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": height}))
        x += panel.width
    return placed


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression(query.expression),
                "legendFormat": query.legend or "__auto",
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": stacking,
        }
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "none", "textMode": panel.shown}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
