"""The chart as a whole, with pods that run: installed, tried by `helm test`, and gone without a rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.helpers.charts import CHART
from tests.helpers.helm import Helm
from tests.helpers.kube import until, until_custom
from tests.helpers.our_kinds import new_kinds_removed

WITHIN_S = 200

pytestmark = pytest.mark.slow


def test_a_release_runs_counts_words_and_leaves_nothing(
    values: dict[str, Any], kubeconfig: Path, namespace: str, api: Any, core: Any
) -> None:
    with new_kinds_removed(api), Helm(kubeconfig, namespace) as releases:
        releases.install(CHART, "limnad", {**values, "store": {"onDeletion": "Delete"}})
        until_custom(
            client.CustomObjectsApi(api),
            "limnad.io",
            "v1alpha1",
            namespace,
            "limnadclusters",
            "limnad",
            good=lambda cluster: cluster.get("status", {}).get("phase") == "Running",
            within_s=WITHIN_S,
        )
        assert "32 words of 4 epochs counted right" in releases.test("limnad", timeout_s=WITHIN_S)
        releases.uninstall("limnad", wait_s=WITHIN_S)
        until(
            core.list_namespaced_pod, namespace, good=lambda items: all("test" in each.metadata.name for each in items)
        )
        objects: Any = client.CustomObjectsApi(api)
        assert (
            objects.list_namespaced_custom_object("limnad.io", "v1alpha1", namespace, "limnadclusters")["items"] == []
        )
        assert core.list_namespaced_service(namespace).items == []
