"""The operator with the token of its own account: it may do what the chart's Roles say, and needs no more.

Our own API server lets everybody do everything; a real one has the last word.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, utils

from limnad_operator.model import GROUP, VERSION
from tests.helpers import helm
from tests.helpers.kube import until
from tests.helpers.operator_process import OperatorProcess
from tests.helpers.our_kinds import our_kinds
from tests.helpers.whole_chart import CHART

RIGHTS = {"ServiceAccount", "Role", "RoleBinding"}
ACCOUNT = "limnad-operator"

CLUSTER = {
    "image": "limnad:missing",
    "workers": {"replicas": 2},
    "coordinator": {"enabled": True},
    "store": {"secretRef": {"name": "store", "key": "url"}, "onDeletion": "Delete"},
    "deadlines": {"deletion": "1s"},
}


@pytest.fixture(scope="module")
def custom(api: Any) -> Iterator[Any]:
    with our_kinds(api):
        yield client.CustomObjectsApi(api)


@pytest.fixture
def account(api: Any, core: Any, kubeconfig: Path, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig with the token of the operator's account, and nothing else."""
    create: Any = utils.create_from_dict
    for item in helm.template(CHART, namespace=namespace):
        if item["kind"] in RIGHTS:
            create(api, item, namespace=namespace)
    asked = core.create_namespaced_service_account_token(ACCOUNT, namespace, {"spec": {}})
    config = yaml.safe_load(kubeconfig.read_text())
    for each in config["users"]:
        each["user"] = {"token": asked.status.token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_rights_are_enough(account: Path, custom: Any, api: Any, core: Any, namespace: str) -> None:
    apps: Any = client.AppsV1Api(api)
    policy: Any = client.PolicyV1Api(api)
    where = (GROUP, VERSION, namespace)
    core.create_namespaced_secret(namespace, {"metadata": {"name": "store"}, "stringData": {"url": "redis://x:1/0"}})

    def make(kind: str, name: str, spec: dict[str, Any]) -> None:
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
        custom.create_namespaced_custom_object(*where, f"{kind.lower()}s", body)

    with OperatorProcess(account, namespace, "one") as operator:
        make("LimnadCluster", "c", CLUSTER)
        until(apps.list_namespaced_stateful_set, namespace, good=bool)
        until(apps.list_namespaced_deployment, namespace, good=bool)
        until(policy.list_namespaced_pod_disruption_budget, namespace, good=bool)
        make("LimnadJob", "j", {"clusterRef": {"name": "c"}, "source": {"inline": "x"}, "onDeletion": "Delete"})
        make("LimnadJob", "own", {"clusterTemplate": {"spec": CLUSTER}, "source": {"inline": "x"}})
        make("LimnadCheckpoint", "p", {"jobRef": {"name": "j"}})
        until(apps.list_namespaced_stateful_set, namespace, good=lambda items: len(items) == 2)
        custom.delete_namespaced_custom_object(*where, "limnadclusters", "c")
        until(
            core.list_namespaced_event,
            namespace,
            good=lambda items: any(each.involved_object.name == "c" and each.reason == "StateLeft" for each in items),
        )
        operator.end(signal.SIGTERM)
        said = operator.log()
    assert "forbidden" not in said.lower()
    for plural in ("limnadclusters", "limnadjobs"):
        for item in custom.list_namespaced_custom_object(*where, plural)["items"]:
            assert "Forbidden" not in str(item["status"])
