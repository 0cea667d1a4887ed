"""What the hook of `helm uninstall` deletes, in which order, and that it ends in any case."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from limnad_operator.leaving import Item, Objects, foreign, leave, next_to_delete, of_release
from tests.helpers.charts import CHART

GROUP, VERSION = "limnad.io", "v1alpha1"
OURS = ("n", "c")
CLUSTER = Item("LimnadCluster", "n", "c")
JOB = Item("LimnadJob", "n", "j", belongs="c")
CHECKPOINT = Item("LimnadCheckpoint", "n", "k", belongs="j")
OTHERS = [
    Item("LimnadCluster", "m", "c"),
    Item("LimnadJob", "m", "j", belongs="c"),
    Item("LimnadJob", "n", "with-its-own"),
    Item("LimnadCheckpoint", "n", "of-that", belongs="with-its-own"),
]


def test_the_release_is_its_cluster_the_jobs_on_it_and_their_checkpoints() -> None:
    assert of_release([CLUSTER, JOB, CHECKPOINT, *OTHERS], OURS) == {CLUSTER, JOB, CHECKPOINT}
    assert foreign([CLUSTER, JOB, CHECKPOINT, *OTHERS], OURS) == sorted(OTHERS)
    assert foreign([CLUSTER], None) == [CLUSTER]


def test_what_another_object_owns_or_is_going_already_is_no_obstacle() -> None:
    assert foreign([Item("LimnadCluster", "n", "d", owned=True), Item("LimnadJob", "n", "x", leaving=True)], OURS) == []


def test_checkpoints_go_before_their_jobs_and_those_before_the_cluster() -> None:
    assert next_to_delete([CLUSTER, JOB, CHECKPOINT], OURS) == [CHECKPOINT]
    assert next_to_delete([CLUSTER, JOB], OURS) == [JOB]
    assert next_to_delete([CLUSTER, Item("LimnadJob", "n", "j", belongs="c", leaving=True)], OURS) == []
    assert next_to_delete([CLUSTER], OURS) == [CLUSTER]


@pytest.fixture(scope="module")
def objects(api: Any) -> Iterator[Any]:
    """The official client, where the CRDs are."""
    extensions = client.ApiextensionsV1Api(api)
    definitions = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((CHART / "crds").glob("*.yaml"))]
    made = []
    for definition in definitions:
        try:
            extensions.create_custom_resource_definition(definition)
        except client.ApiException as error:
            if error.status != 409:
                raise
        else:
            made.append(definition["metadata"]["name"])
    yield client.CustomObjectsApi(api)
    for name in made:
        extensions.delete_custom_resource_definition(name)


def create(objects: Any, namespace: str, kind: str, name: str, spec: dict[str, Any], *finalizers: str) -> None:
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": name, "finalizers": list(finalizers)},
        "spec": spec,
    }
    objects.create_namespaced_custom_object(GROUP, VERSION, namespace, f"{kind.lower()}s", body)


@pytest.fixture
def ours(objects: Any, namespace: str, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """A cluster with a job that has finalizers which nobody removes."""
    create(objects, namespace, "LimnadCluster", "c", {"image": "limnad:1"}, "limnad.io/state")
    job = {"clusterRef": {"name": "c"}, "source": {"inline": "def job(flow): ..."}}
    create(objects, namespace, "LimnadJob", "j", job, "limnad.io/state")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with contextlib.closing(Objects([namespace])) as found:
        yield found


def test_it_ends_though_nobody_removes_finalizers(
    ours: Objects, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(ours, (namespace, "c"), timeout_s=2.0) == 0
    assert ours.list() == []
    said = capsys.readouterr().out
    assert f"limnadjob/j in namespace {namespace} is deleted" in said
    assert f"limnadjob/j in namespace {namespace} had not gone after 2 s and was let go as it was" in said


def test_what_belongs_to_others_is_named_and_nothing_is_done(
    ours: Objects, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ours.list()
    assert leave(ours, (namespace, "elsewhere"), timeout_s=2.0) == 1
    assert ours.list() == before
    assert f"kubectl delete -n {namespace} limnadcluster/c" in capsys.readouterr().out
    assert leave(ours, (namespace, "c"), timeout_s=0.0) == 0
