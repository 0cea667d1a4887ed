"""The operator on an API server whose pods run: a cluster comes up, works, is scaled, struck, upgraded and deleted."""

from __future__ import annotations

import base64
import os
import signal
import textwrap
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch

from limnad.client import Client, Tls
from limnad_operator.model import GROUP, VERSION
from tests.helpers.kube import until
from tests.helpers.our_kinds import our_kinds
from tests.helpers.redis_server import find_redis_server
from tests.kubernetes.apiserver import ApiServer

_Watch: Any = watch.Watch

WITHIN_S = 200
"""For each step, on a machine that does much besides; most take some seconds."""

COUNT = """
    def job(flow, last: int = 3):
        words = flow.values([["a", "b", "a"], ["b"] * last])
        words.key_by(str).count_by_key().output("counts")
"""

ENDLESS = """
    import polars as pl

    def make(rng, start, count):
        return pl.DataFrame({"key": pl.arange(start, start + count, eager=True) % 3})

    def job(flow):
        numbers = flow.generate(make, rows=10**7, batch_rows=2, epochs=10**6, rows_per_s=50)
        numbers.group_by("key").agg(pl.len()).output("counts")
"""


@dataclass
class Objects:
    """Our objects in a namespace.

    Attributes:
        server: The API server.
        namespace: The namespace.
        custom: The official client's part for custom objects.
        core: Its part for pods and Secrets.
    """

    server: ApiServer
    namespace: str
    custom: Any
    core: Any

    def make(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.custom.create_namespaced_custom_object(GROUP, VERSION, self.namespace, f"{kind.lower()}s", body)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.custom.get_namespaced_custom_object(
            GROUP, VERSION, self.namespace, f"{kind.lower()}s", name
        )
        return found

    def patch(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, f"{kind.lower()}s", name, {"spec": spec}
        )

    def scale(self, name: str, replicas: int) -> None:
        """As ``kubectl scale`` does."""
        self.custom.patch_namespaced_custom_object_scale(
            GROUP, VERSION, self.namespace, "limnadclusters", name, {"spec": {"replicas": replicas}}
        )

    def until(self, kind: str, name: str, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits until the status of an object is as it should be; what it is."""
        status = self.get(kind, name).get("status", {})
        if good(status):
            return dict(status)
        stream = _Watch().stream(
            self.custom.list_namespaced_custom_object,
            GROUP,
            VERSION,
            self.namespace,
            f"{kind.lower()}s",
            timeout_seconds=WITHIN_S,
        )
        for event in stream:
            status = event["object"].get("status", {}) if event["object"]["metadata"]["name"] == name else status
            if good(status):
                return dict(status)
        raise AssertionError(f"after {WITHIN_S} s {kind} {name} is still {status}\n{self.told()}")

    def told(self) -> str:
        """What the operator has printed, and all events."""
        events = [f"{each.reason}: {each.message}" for each in self.core.list_namespaced_event(self.namespace).items]
        logs = [
            self.core.read_namespaced_pod_log(pod.metadata.name, self.namespace)
            for pod in self.core.list_namespaced_pod(self.namespace).items
        ]
        return "\n".join([*events, *logs])[-15000:]

    def client(self, cluster: str, folder: Path) -> Client:
        """Of a cluster's leader, through a forwarded port, with what the operator has made for clients."""
        secrets = {
            name: self.core.read_namespaced_secret(f"{cluster}-{name}", self.namespace).data
            for name in ("tls", "token")
        }
        authorities = folder / "ca.crt"
        authorities.write_bytes(base64.b64decode(secrets["tls"]["ca.crt"]))
        token = base64.b64decode(secrets["token"]["token"]).decode()
        address = self.server.forward(self.namespace, f"{cluster}-worker-0", 7701)
        return Client(address, token, Tls(str(authorities), name=f"{cluster}-leader.{self.namespace}.svc"))


def deployment(name: str, image: str, command: list[str], replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    names = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    env = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in names.items()]
    container = {"name": "main", "image": image, "command": command, "env": env}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def objects(pods: ApiServer, api: Any, core: Any) -> Iterator[Objects]:
    """A namespace with two operators and a Redis."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": namespace}})
    apps: Any = client.AppsV1Api(api)
    redis = [find_redis_server(), "--bind", "0.0.0.0", "--protected-mode", "no", "--appendonly", "yes", "--dir", "/tmp"]
    apps.create_namespaced_deployment(namespace, deployment("redis", "redis", redis))
    service = {"selector": {"app": "redis"}, "ports": [{"port": 6379}]}
    core.create_namespaced_service(namespace, {"metadata": {"name": "redis"}, "spec": service})
    url = {"url": f"redis://redis.{namespace}.svc:6379/0"}
    core.create_namespaced_secret(namespace, {"metadata": {"name": "store"}, "stringData": url})
    command = ["limnad-operator", "--log-level", "debug"]
    apps.create_namespaced_deployment(namespace, deployment("operator", "limnad-operator", command, replicas=2))
    with our_kinds(api):
        yield Objects(pods, namespace, client.CustomObjectsApi(api), core)
    core.delete_namespace(namespace)


@pytest.fixture(scope="module")
def cluster(objects: Objects) -> Objects:
    """A cluster of two workers that is ready."""
    store = {"secretRef": {"name": "store", "key": "url"}, "onDeletion": "Delete"}
    spec = {"image": "limnad:1", "workers": {"replicas": 2}, "store": store, "checkpoint": {"interval": "1s"}}
    spec["coordinator"] = {"enabled": True}
    objects.make("LimnadCluster", "c", spec)
    status = objects.until("LimnadCluster", "c", lambda status: status.get("phase") == "Running")
    assert (status["workers"], status["replicas"], status["image"]) == ("2/2", 2, "limnad:1")
    return objects


@pytest.fixture(scope="module")
def endless(cluster: Objects) -> Objects:
    """With a job that does not end."""
    source = {"inline": textwrap.dedent(ENDLESS)}
    cluster.make("LimnadJob", "endless", {"clusterRef": {"name": "c"}, "source": source, "delivery": "Committed"})
    status = cluster.until("LimnadJob", "endless", lambda status: runs(status) and status.get("checkpoint", 0) > 0)
    assert status["width"] == 2
    return cluster


def runs(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Running"


def goes_on(objects: Objects) -> None:
    """Waits until the job has made another checkpoint."""
    before = objects.get("LimnadJob", "endless")["status"]["checkpoint"]
    objects.until("LimnadJob", "endless", lambda status: runs(status) and status["checkpoint"] > before)


def test_a_job_as_an_object_comes_to_the_right_answer(cluster: Objects, tmp_path: Path) -> None:
    source = {"inline": textwrap.dedent(COUNT)}
    cluster.make("LimnadJob", "count", {"clusterRef": {"name": "c"}, "source": source, "arguments": {"last": "4"}})
    status = cluster.until("LimnadJob", "count", lambda status: status.get("phase") in {"Finished", "Failed"})
    assert status["phase"] == "Finished", status
    with cluster.client("c", tmp_path) as ours:
        rows = {epoch: sorted(map(list, rows)) for _, epoch, rows in ours.job(status["job"]).outputs("counts")}
        assert rows[0] == [["a", 2], ["b", 1]]
        assert rows[1][-1] == ["b", 5] or rows[1] == [["b", 4]]
        with pytest.raises(Exception, match=f"belongs to LimnadJob {cluster.namespace}/count"):
            ours.job(status["job"]).restore()


def test_it_is_scaled_and_jobs_follow(endless: Objects) -> None:
    endless.scale("c", 3)
    endless.until("LimnadJob", "endless", lambda status: runs(status) and status["width"] == 3)
    status = endless.until("LimnadCluster", "c", lambda status: runs(status) and status["workers"] == "3/3")
    assert "step" not in status
    endless.scale("c", 1)
    endless.until("LimnadCluster", "c", lambda status: runs(status) and status["workers"] == "1/1")
    assert endless.get("LimnadJob", "endless")["status"]["restarts"] == 0
    goes_on(endless)


def test_a_killed_worker_comes_back_and_the_job_goes_on(endless: Objects) -> None:
    os.kill(endless.server.pid(endless.namespace, "c-worker-0"), signal.SIGKILL)
    goes_on(endless)
    endless.until("LimnadCluster", "c", runs)


def test_a_new_image_is_taken_with_all_state(endless: Objects) -> None:
    before = {pod.metadata.uid for pod in worker_pods(endless)}
    endless.patch("LimnadCluster", "c", {"image": "limnad:2"})
    endless.until("LimnadCluster", "c", lambda status: runs(status) and status["image"] == "limnad:2")
    after = worker_pods(endless)
    assert not before & {pod.metadata.uid for pod in after}
    assert {pod.spec.containers[0].image for pod in after} == {"limnad:2"}
    goes_on(endless)


def test_an_image_that_is_not_there_is_named_and_taken_back(endless: Objects) -> None:
    endless.patch("LimnadCluster", "c", {"image": "limnad:missing", "deadlines": {"upgrade": "5s"}})
    status = endless.until("LimnadCluster", "c", lambda status: status.get("phase") == "Degraded")
    assert "limnad:missing was not taken" in status["failure"]
    assert "Correct spec.image" in status["failure"]
    goes_on(endless)
    assert not {pod.spec.containers[0].image for pod in worker_pods(endless)} & {"limnad:missing"}
    endless.patch("LimnadCluster", "c", {"image": status["image"], "deadlines": {"upgrade": "10m"}})
    endless.until("LimnadCluster", "c", runs)


def worker_pods(objects: Objects) -> list[Any]:
    selector = "app.kubernetes.io/instance=c,app.kubernetes.io/component=worker"
    return list(objects.core.list_namespaced_pod(objects.namespace, label_selector=selector).items)


def test_a_checkpoint_as_an_object_and_a_suspension(endless: Objects) -> None:
    endless.make("LimnadCheckpoint", "cp", {"jobRef": {"name": "endless"}})
    status = endless.until("LimnadCheckpoint", "cp", lambda status: status.get("state") in {"Completed", "Failed"})
    assert status["state"] == "Completed", status
    endless.patch("LimnadJob", "endless", {"state": "Suspended"})
    endless.until("LimnadJob", "endless", lambda status: status["phase"] == "Suspended")
    epoch = endless.get("LimnadJob", "endless")["status"]["epoch"]
    endless.patch("LimnadJob", "endless", {"state": "Running"})
    status = endless.until("LimnadJob", "endless", lambda status: runs(status) and status["submissions"] == 2)
    assert status["epoch"] >= 1
    assert epoch >= 1


def test_deletion_leaves_nothing(endless: Objects) -> None:
    endless.custom.delete_namespaced_custom_object(GROUP, VERSION, endless.namespace, "limnadclusters", "c")
    until(endless.core.list_namespaced_pod, endless.namespace, good=lambda items: not any(map(of_cluster, items)))
    for list_objects in (endless.core.list_namespaced_service, endless.core.list_namespaced_config_map):
        until(list_objects, endless.namespace, good=lambda items: not any(map(of_cluster, items)))
    events = [each.reason for each in endless.core.list_namespaced_event(endless.namespace).items]
    assert "StateLeft" not in events
    assert "DeletionStarted" in events


def of_cluster(object_: Any) -> bool:
    return (object_.metadata.labels or {}).get("app.kubernetes.io/instance") == "c"
