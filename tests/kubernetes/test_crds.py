"""The API server refuses specs that are wrong, with a sentence; and fills in what is not said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from limnad_operator.model import GROUP, VERSION
from tests.helpers.our_kinds import our_kinds

CLUSTER = {"image": "limnad:1"}
SOURCE = {"inline": "x"}
JOB = {"clusterRef": {"name": "c"}, "source": SOURCE}
KEY = {"name": "s", "key": "k"}


@pytest.fixture(scope="module")
def custom(api: Any) -> Iterator[Any]:
    with our_kinds(api):
        yield client.CustomObjectsApi(api)


def make(custom: Any, namespace: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
    made: dict[str, Any] = custom.create_namespaced_custom_object(GROUP, VERSION, namespace, f"{kind.lower()}s", body)
    return made


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("LimnadCluster", {}, "spec.image"),
        ("LimnadCluster", {**CLUSTER, "workers": {"replicas": 0}}, "greater than or equal to 1"),
        ("LimnadCluster", {**CLUSTER, "tls": {"mode": "Secret"}}, "secretRef goes with mode Secret"),
        ("LimnadCluster", {**CLUSTER, "tokens": {"mode": "Generated", "secretRef": KEY}}, "secretRef goes with"),
        ("LimnadCluster", {**CLUSTER, "tls": {"mode": "Sometimes"}}, "SelfSigned"),
        ("LimnadCluster", {**CLUSTER, "deadlines": {"upgrade": "soon"}}, "should match"),
        ("LimnadJob", {"source": SOURCE}, "exactly one of clusterRef and clusterTemplate"),
        ("LimnadJob", {**JOB, "clusterTemplate": {"spec": CLUSTER}}, "exactly one of clusterRef and clusterTemplate"),
        ("LimnadJob", {**JOB, "source": {}}, "exactly one of image, configMap and inline"),
        ("LimnadJob", {**JOB, "source": {**SOURCE, "image": {"path": "/j.py"}}}, "exactly one of image, configMap"),
        ("LimnadJob", {**JOB, "restore": "Yesterday"}, "restore is Latest, None, or the number of a checkpoint"),
        ("LimnadJob", {**JOB, "restore": 0}, "restore is Latest, None, or the number of a checkpoint"),
        ("LimnadJob", {**JOB, "upgradeMode": "Brave"}, "LastState"),
        ("LimnadCheckpoint", {}, "spec.jobRef"),
    ],
)
def test_wrong_specs_are_refused(custom: Any, namespace: str, kind: str, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiException) as raised:
        make(custom, namespace, kind, "x", spec)
    assert raised.value.status == 422
    assert said in str(raised.value.body)


def test_a_clusters_name_has_to_fit_into_labels(custom: Any, namespace: str) -> None:
    make(custom, namespace, "LimnadCluster", "x" * 40, CLUSTER)
    with pytest.raises(ApiException, match="at most 40 letters"):
        make(custom, namespace, "LimnadCluster", "x" * 41, CLUSTER)


def test_right_specs_are_taken_and_filled_in(custom: Any, namespace: str) -> None:
    made = make(custom, namespace, "LimnadCluster", "c", CLUSTER)["spec"]
    assert (made["workers"]["replicas"], made["tls"]["mode"], made["tokens"]["mode"]) == (3, "SelfSigned", "Generated")
    for number, restore in enumerate(["Latest", "None", 7]):
        job = make(custom, namespace, "LimnadJob", f"j{number}", {**JOB, "restore": restore})
        assert job["spec"]["restore"] == restore
    make(custom, namespace, "LimnadJob", "own", {"clusterTemplate": {"spec": CLUSTER}, "source": SOURCE})


def test_what_may_not_change_does_not(custom: Any, namespace: str) -> None:
    make(custom, namespace, "LimnadJob", "j", JOB)
    make(custom, namespace, "LimnadCheckpoint", "p", {"jobRef": {"name": "j"}})
    for plural, name, change, said in (
        ("limnadjobs", "j", {"clusterRef": {"name": "other"}}, "a job stays in its cluster"),
        ("limnadcheckpoints", "p", {"retention": "Retain"}, "a checkpoint is made once"),
    ):
        with pytest.raises(ApiException, match=said):
            custom.patch_namespaced_custom_object(GROUP, VERSION, namespace, plural, name, {"spec": change})


def test_a_cluster_scales_by_its_subresource(custom: Any, namespace: str) -> None:
    make(custom, namespace, "LimnadCluster", "c", CLUSTER)
    where = (GROUP, VERSION, namespace, "limnadclusters", "c")
    custom.patch_namespaced_custom_object_scale(*where, {"spec": {"replicas": 5}})
    assert custom.get_namespaced_custom_object(*where)["spec"]["workers"]["replicas"] == 5
    with pytest.raises(ApiException):
        custom.patch_namespaced_custom_object_scale(*where, {"spec": {"replicas": 0}})
