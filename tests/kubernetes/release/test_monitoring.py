"""Alerts and dashboards: sound, about metrics that there are, and each alert has its section in the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from limnad_operator.queue import Queue
from limnad_operator.shell.measuring import Measures
from limnad_operator.shell.views import Cache
from limnad_worker.metric_table import METRICS, Kind
from tests.helpers.charts import CHART, one, rendered
from tests.helpers.debian import find_program

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
RUNBOOK = CHART.parents[1] / "docs" / "operations.md"
NAME = re.compile(r"\b(limnad_[a-z_]+|up)\b(?![\"=(])")
LABELS = {"limnad_cluster", "limnad_component"}
"""What starts like a metric and is a label, which the chart's PodMonitors set."""


def of_the_operator() -> set[str]:
    """What an operator exports that knows a cluster."""
    cache = Cache()
    status = {"conditions": [{"type": "Degraded", "status": "False"}]}
    metadata = {"namespace": "n", "name": "c", "uid": "u", "resourceVersion": "1"}
    cache.put("LimnadCluster", {"metadata": metadata, "status": status})
    measures = Measures(cache, Queue(), lambda: True)
    measures.looked("LimnadCluster", 0.1)
    families = text_string_to_metric_families(measures.text().decode())
    return {sample.name for family in families for sample in family.samples}


EXPORTED = (
    {
        name
        for metric in METRICS
        for name in (
            [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
            if metric.kind is Kind.HISTOGRAM
            else [metric.name]
        )
    }
    | of_the_operator()
    | {"up"}
)
RULES = [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def promtool(*arguments: str, folder: Path) -> None:
    """Debian's, from the package of Prometheus."""
    program = find_program(
        "promtool", "prometheus", "LIMNAD_PROMTOOL", "Install Prometheus (Debian: apt-get install prometheus)"
    )
    done = subprocess.run([program, *arguments], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[tuple[str, str]]:
    """Each expression with where it is."""
    found = [(rule["alert"], rule["expr"]) for rule in RULES]
    for path in DASHBOARDS:
        found += [
            (f"{path.stem}: {panel['title']}", target["expr"]) for panel in panels(path) for target in panel["targets"]
        ]
    return found


def test_alerts_are_sound_and_come_when_they_should(tmp_path: Path) -> None:
    # Also the rules as the PrometheusRule has them: the template must not have touched the alerts' own braces.
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    shutil.copy(Path(__file__).with_name("alerts.yaml"), tmp_path / "tests.yaml")
    promtool("check", "rules", "alerts.yaml", folder=tmp_path)
    promtool("test", "rules", "tests.yaml", folder=tmp_path)


def test_each_alert_is_tried() -> None:
    tests = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text(encoding="utf-8"))["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
    silent = {each["alertname"] for test in tests for each in test["alert_rule_test"] if not each["exp_alerts"]}
    assert fired == silent == {rule["alert"] for rule in RULES}


def test_there_are_ten_alerts_each_with_its_section_in_the_runbook() -> None:
    assert len(RULES) >= 10
    sections = re.findall(r"^### (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rule["alert"] for rule in RULES) == sorted(each for each in sections if each.startswith("Limnad"))
    for rule in RULES:
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize(("where", "expression"), expressions(), ids=lambda each: each if " " not in each[:9] else "")
def test_only_metrics_that_the_code_exports_are_asked_for(where: str, expression: str) -> None:
    named = {name for name in NAME.findall(expression) if name not in LABELS}
    assert named, where
    assert named <= EXPORTED, where


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_as_grafana_has_them(path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    assert dashboard["uid"] == f"limnad-{path.stem}"
    assert "id" not in dashboard  # Grafana's own, which an import must not bring
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__rate_interval", "__all"}
    assert used == variables
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
        assert [target["refId"] for target in panel["targets"]] == sorted(
            {target["refId"] for target in panel["targets"]}
        )
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_dashboards_come_as_config_maps_that_the_sidecar_finds() -> None:
    maps = [each for each in rendered() if each["metadata"]["labels"].get("grafana_dashboard") == "1"]
    held = {name: text for each in maps for name, text in each["data"].items()}
    assert {name: json.loads(text) for name, text in held.items()} == {
        f"limnad-{path.name}": json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS
    }
    assert one(maps, "ConfigMap", "demo-dashboard-job")
