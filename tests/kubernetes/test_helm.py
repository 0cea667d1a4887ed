"""Helm 4 against the API server: a chart with hooks, a test and a custom kind."""

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.helpers import helm
from tests.helpers.kube import until

CHART = Path(__file__).parent / "chart"


@pytest.fixture
def releases(kubeconfig: Path, namespace: str) -> Any:
    with helm.Helm(kubeconfig, namespace) as found:
        yield found


def test_a_chart_is_checked_and_rendered() -> None:
    assert helm.lint(CHART) == []
    objects = helm.template(CHART, {"replicas": 2})
    assert {item["kind"] for item in objects} == {"ConfigMap", "Deployment", "Job", "Pod"}
    with pytest.raises(helm.HELM_ERRORS, match="replicas"):
        helm.template(CHART, {"replicas": "many"})
    with pytest.raises(helm.HELM_ERRORS, match="additional properties 'odd' not allowed"):
        helm.template(CHART, {"odd": 1})


def test_releases_are_installed_upgraded_and_gone(releases: helm.Helm, core: Any, namespace: str) -> None:
    releases.install(CHART, "demo", {"greeting": "hello", "hooks": False})
    assert core.read_namespaced_config_map("demo", namespace).data == {"greeting": "hello"}
    releases.upgrade(CHART, "demo", {"greeting": "good day", "hooks": False})
    assert core.read_namespaced_config_map("demo", namespace).data == {"greeting": "good day"}
    assert [each["status"] for each in releases.history("demo")] == ["superseded", "deployed"]
    releases.rollback("demo", 1)
    assert core.read_namespaced_config_map("demo", namespace).data == {"greeting": "hello"}
    releases.uninstall("demo")
    assert releases.releases() == {}
    with pytest.raises(client.ApiException):
        core.read_namespaced_config_map("demo", namespace)


def test_an_upgrade_leaves_a_field_to_whoever_took_it(releases: helm.Helm, api: Any, namespace: str) -> None:
    apps: Any = client.AppsV1Api(api)
    releases.install(CHART, "demo", {"hooks": False, "replicas": None})
    apps.patch_namespaced_deployment_scale("demo", namespace, {"spec": {"replicas": 3}})
    releases.upgrade(CHART, "demo", {"hooks": False, "replicas": None, "greeting": "again"})
    assert apps.read_namespaced_deployment("demo", namespace).spec.replicas == 3


def test_a_conflict_with_another_manager_is_told(releases: helm.Helm, core: Any, namespace: str) -> None:
    releases.install(CHART, "demo", {"hooks": False})
    core.patch_namespaced_config_map("demo", namespace, {"data": {"greeting": "mine"}}, field_manager="someone")
    with pytest.raises(helm.HELM_ERRORS, match='conflict with "someone"'):
        releases.upgrade(CHART, "demo", {"hooks": False, "greeting": "another"})


@pytest.mark.usefixtures("pods")
def test_hooks_and_tests_are_pods_that_run(releases: helm.Helm, core: Any, namespace: str) -> None:
    releases.install(CHART, "demo", {"greeting": "hello", "replicas": 1}, wait_s=30)
    assert "hello from demo" in releases.test("demo")
    releases.uninstall("demo", wait_s=30)
    # Helm leaves the test's pod, and does not wait for pods.
    until(
        core.list_namespaced_pod, namespace, good=lambda items: {each.metadata.name for each in items} <= {"demo-test"}
    )
