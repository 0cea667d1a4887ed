"""The whole on an API server whose pods run: the chart is installed, tried, scaled, struck, upgraded and taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.helpers import helm
from tests.helpers.kube import until, until_custom
from tests.helpers.whole_chart import CHART

WITHIN_S = 150
"""For each step, on a machine that does much besides; most take some seconds."""

JOB = """
apiVersion: limnad.io/v1alpha1
kind: LimnadJob
metadata: {name: numbers}
spec:
  clusterRef: {name: limnad}
  checkpoint: {interval: 1s}
  onDeletion: Delete
  source:
    inline: |
      import polars as pl

      def make(rng, start, count):
          return pl.DataFrame({"key": pl.arange(start, start + count, eager=True) % 3})

      def job(flow):
          numbers = flow.generate(make, rows=10**7, batch_rows=2, epochs=10**6, rows_per_s=50)
          numbers.group_by("key").agg(pl.len()).output("counts")
"""


@pytest.mark.slow
def test_from_an_empty_namespace_and_back(
    release: helm.Helm, values: dict[str, Any], api: Any, core: Any, namespace: str
) -> None:
    custom = client.CustomObjectsApi(api)
    where = ("limnad.io", "v1alpha1", namespace)

    def await_status(plural: str, name: str, good: Callable[[Any], bool]) -> Any:
        return until_custom(
            custom, *where, plural, name, good=lambda item: good(item.get("status", {})), within_s=WITHIN_S
        )

    def is_running(workers: int) -> Callable[[Any], bool]:
        return lambda status: (status.get("phase"), status.get("readyReplicas")) == ("Running", workers)

    await_status("limnadclusters", "limnad", is_running(2))
    assert "counted right" in release.test("limnad", timeout_s=WITHIN_S)

    custom.create_namespaced_custom_object(*where, "limnadjobs", yaml.safe_load(JOB))
    first = await_status("limnadjobs", "numbers", lambda job: job.get("phase") == "Running" and job.get("checkpoint"))

    core.delete_namespaced_pod("limnad-worker-1", namespace, grace_period_seconds=0)
    generation = first["status"]["generation"]
    again = await_status(
        "limnadjobs", "numbers", lambda job: job["phase"] == "Running" and job["generation"] > generation
    )
    assert again["status"]["checkpoint"] >= first["status"]["checkpoint"], "it goes on from where it was"

    scale = {"spec": {"replicas": 3}}
    custom.patch_namespaced_custom_object_scale(*where, "limnadclusters", "limnad", scale)
    await_status("limnadclusters", "limnad", is_running(3))
    await_status("limnadjobs", "numbers", lambda job: (job.get("phase"), job.get("width")) == ("Running", 3))

    release.upgrade(CHART, "limnad", {**values, "operator": {**values["operator"], "replicas": 2}})
    found: Any = custom.get_namespaced_custom_object(*where, "limnadclusters", "limnad")
    assert found["spec"]["workers"]["replicas"] == 3, "an upgrade leaves the scale as it is"

    release.uninstall("limnad", wait_s=WITHIN_S)
    until(core.list_namespaced_pod, namespace, good=lambda items: not items, within_s=WITHIN_S)
    assert core.list_namespaced_service(namespace).items == []
    assert core.list_namespaced_secret(namespace).items == []
    until(client.CoordinationV1Api(api).list_namespaced_lease, namespace, good=lambda items: not items)
    claims = [each.metadata.name for each in core.list_namespaced_persistent_volume_claim(namespace).items]
    assert claims == ["data-limnad-redis-0"], "state is retained, as the values say"
