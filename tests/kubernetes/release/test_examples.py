"""The examples for Kubernetes are objects that it takes, about objects that the chart makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from limnad.testing import run
from tests.helpers.charts import CHART
from tests.kubernetes.release.test_monitoring import EXPORTED, NAME

EXAMPLES = Path(__file__).parents[3] / "examples" / "kubernetes"


def example(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


def definition(plural: str) -> Any:
    crd = yaml.safe_load((CHART / "crds" / f"{plural}.yaml").read_text(encoding="utf-8"))
    return crd["spec"]["versions"][0]


def test_the_autoscaler_scales_what_has_a_scale_subresource() -> None:
    autoscaler = example("autoscaler.yaml")
    kubernetes_validate.validate(autoscaler, "1.36", strict=True)
    target = autoscaler["spec"]["scaleTargetRef"]
    assert target["apiVersion"] == "limnad.io/v1alpha1"
    assert target["kind"] == "LimnadCluster"
    assert definition("limnadclusters")["subresources"]["scale"]["specReplicasPath"] == ".spec.workers.replicas"


def test_the_autoscaler_asks_for_the_metric_that_the_adapter_makes_of_ours() -> None:
    (rule,) = example("autoscaler-metric.yaml")["rules"]["custom"]
    (metric,) = example("autoscaler.yaml")["spec"]["metrics"]
    assert metric["object"]["metric"]["name"] == rule["name"]["as"]
    assert set(NAME.findall(rule["seriesQuery"])) - {"limnad_cluster"} <= EXPORTED


def test_the_job_is_one_and_counts() -> None:
    job = example("job.yaml")
    jsonschema.validate(job, definition("limnadjobs")["schema"]["openAPIV3Schema"])
    scope: dict[str, Any] = {}
    exec(compile(job["spec"]["source"]["inline"], "job.py", "exec"), scope)
    result = run(scope["job"], {"lines": [["to be or", "not to be"], ["to do"]]}, workers=2, seed=1)
    assert max(result.outputs["counts"][1]) == ("to", 3)
