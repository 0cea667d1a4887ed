"""Releases of the chart, made by Helm at an API server: installed, upgraded, scaled beside it, and gone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml
from kubernetes import client

from tests.helpers.charts import CHART, RELEASE, documents, one
from tests.kubernetes.release.test_monitoring import promtool

QUIET: dict[str, Any] = {"uninstall": {"hook": False}}
"""The hook is a pod, and pods are other tests'."""

MONITORING = "monitoring.coreos.com"


class Release:
    """One release in a namespace of its own."""

    def __init__(self, kubeconfig: Path, namespace: str, api: Any) -> None:
        self._config = helm.Config(kubeconfig_path=kubeconfig, namespace=namespace)
        self._namespace = namespace
        self._objects: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)

    def install(self, **values: Any) -> list[dict[str, Any]]:
        """What was installed."""
        done = self._config.install(CHART, RELEASE, {**QUIET, **values}, namespace=self._namespace)
        return documents(done["manifest"])

    def upgrade(self, **values: Any) -> None:
        self._config.upgrade(CHART, RELEASE, {**QUIET, **values}, namespace=self._namespace)

    def uninstall(self) -> None:
        self._config.uninstall(RELEASE, timeout=60)

    def scale(self, replicas: int) -> None:
        """As kubectl does."""
        where = ("limnad.io", "v1alpha1", self._namespace, "limnadclusters", RELEASE)
        self._objects.patch_namespaced_custom_object_scale(*where, {"spec": {"replicas": replicas}})

    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = self._objects.get_namespaced_custom_object(
            "limnad.io", "v1alpha1", self._namespace, "limnadclusters", RELEASE
        )
        return found

    def replicas(self) -> int:
        return int(self.cluster()["spec"]["workers"]["replicas"])

    def password(self) -> str:
        secret = self._core.read_namespaced_secret(f"{RELEASE}-store", self._namespace)
        return base64.b64decode(secret.data["password"]).decode()

    def close(self) -> None:
        self._config.close()


@pytest.fixture
def release(kubeconfig: Path, namespace: str, api: Any) -> Iterator[Release]:
    made = Release(kubeconfig, namespace, api)
    yield made
    made.close()


def test_an_upgrade_changes_neither_what_was_scaled_nor_the_password(release: Release) -> None:
    release.install()
    assert release.replicas() == 3
    password = release.password()
    release.scale(5)
    release.upgrade(cluster={"logging": {"level": "debug"}})
    assert release.cluster()["spec"]["logging"]["level"] == "debug"
    assert release.replicas() == 5
    assert release.password() == password
    release.upgrade(cluster={"workers": {"replicas": None}})
    assert release.replicas() == 5


def test_a_number_that_is_given_anew_counts(release: Release) -> None:
    release.install(cluster={"workers": {"replicas": 2}})
    release.upgrade(cluster={"workers": {"replicas": 4}})
    assert release.replicas() == 4


def test_a_password_that_is_given_counts(release: Release) -> None:
    release.install(redis={"password": "given"})
    assert release.password() == "given"
    release.upgrade(redis={"password": "another"})
    assert release.password() == "another"


def test_nothing_is_left(release: Release, api: Any, namespace: str) -> None:
    kinds = {each["kind"] for each in release.install()}
    assert {"Deployment", "StatefulSet", "LimnadCluster", "Secret", "Role", "RoleBinding", "NetworkPolicy"} <= kinds
    assert not {"PodMonitor", "PrometheusRule"} & kinds, "nobody here knows them"
    release.uninstall()
    core, apps, policies = client.CoreV1Api(api), client.AppsV1Api(api), client.RbacAuthorizationV1Api(api)
    listed: list[Any] = [
        apps.list_namespaced_deployment,
        apps.list_namespaced_stateful_set,
        core.list_namespaced_secret,
        core.list_namespaced_service,
        policies.list_namespaced_role,
        policies.list_namespaced_role_binding,
    ]
    assert {item.metadata.name for each in listed for item in each(namespace).items} == set()
    with pytest.raises(client.ApiException, match="Not Found"):
        release.cluster()


@contextmanager
def kind(api: Any, name: str, plural: str) -> Iterator[None]:
    """A kind of the Prometheus operator's, with an open schema."""
    extensions: Any = client.ApiextensionsV1Api(api)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": name, "listKind": f"{name}List", "plural": plural, "singular": name.lower()}
    extensions.create_custom_resource_definition(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{MONITORING}"},
            "spec": {"group": MONITORING, "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )
    yield
    extensions.delete_custom_resource_definition(f"{plural}.{MONITORING}")


def test_prometheus_is_told_where_it_can_be(release: Release, api: Any, tmp_path: Path) -> None:
    with kind(api, "PodMonitor", "podmonitors"), kind(api, "PrometheusRule", "prometheusrules"):
        made = release.install(monitoring={"rules": {"runbook": "https://wiki.example.org/limnad"}})
        monitor = one(made, "PodMonitor", f"{RELEASE}-worker")
        assert monitor["spec"]["selector"]["matchLabels"]["apps.kubernetes.io/pod-index"] == "0"
        rules = one(made, "PrometheusRule")["spec"]
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        promtool("check", "rules", "rules.yaml", folder=tmp_path)
        links = {rule["annotations"]["runbook_url"] for rule in rules["groups"][0]["rules"]}
        assert "https://wiki.example.org/limnad#limnadleaderdown" in links
        release.uninstall()
