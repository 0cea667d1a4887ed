"""The operator on an API server whose pods run: a cluster comes up, works, is scaled, struck, upgraded and deleted."""

from __future__ import annotations

import base64
import datetime as dt
import os
import signal
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding
from kubernetes import client, watch

from limnad import ClusterError
from limnad.client import Client, Tls
from limnad_operator.model import GROUP, VERSION
from tests.helpers.kube import until
from tests.helpers.our_kinds import our_kinds
from tests.helpers.redis_server import find_redis_server
from tests.kubernetes.apiserver import ApiServer

_Watch: Any = watch.Watch

ROOT = Path(__file__).parents[2]

WITHIN_S = 200
"""For each step, on a machine that does much besides; most take some seconds."""

COUNT = """
    def job(flow, last: int = 3):
        words = flow.values([["a", "b", "a"], ["b"] * last])
        words.key_by(str).count_by_key().output("counts")
"""

ENDLESS = """
    import os
    import polars as pl

    FIRST = 100 if os.environ.get("LIMNAD_TESTS_WRONG") else 0

    def make(rng, start, count):
        return pl.DataFrame({"key": FIRST + pl.arange(start, start + count, eager=True) % 3})

    def job(flow):
        numbers = flow.generate(make, rows=10**7, batch_rows=2, epochs=10**6, rows_per_s=50)
        numbers.group_by("key").agg(pl.len()).output("counts")
"""

FRAIL = """
    import os
    import threading

    def job(flow):
        if os.environ.get("LIMNAD_TESTS_WRONG"):
            threading.Event().wait(5)  # The other job runs meanwhile.
            raise RuntimeError("not with this image")
        flow.input("words").key_by(str).count_by_key().output("counts")
"""

STUBBORN = """
    import limnad

    class Remembers(limnad.Vertex):
        def on_recv(self, port, batch, time):
            self.send_by(0, batch, time)

        def checkpoint(self):
            return "all that there was"

        def restore(self, state):
            pass

    def job(flow):
        flow.vertex(Remembers, flow.input("words"), name="odd").output("counts")
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
        """All events, and the ends of what the pods have printed."""
        events = [f"{each.reason}: {each.message}" for each in self.core.list_namespaced_event(self.namespace).items]
        logs = [
            f"{pod.metadata.name}: {self.core.read_namespaced_pod_log(pod.metadata.name, self.namespace)[-1500:]}"
            for pod in self.core.list_namespaced_pod(self.namespace).items
        ]
        return "\n".join([*events[-60:], *logs])

    def delete(self, kind: str, name: str) -> None:
        self.custom.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, f"{kind.lower()}s", name)

    def client(self, cluster: str, folder: Path, patience_s: float = 30.0) -> Client:
        """Of a cluster's leader, through a forwarded port, with what the operator has made for clients."""
        secrets = {
            name: self.core.read_namespaced_secret(f"{cluster}-{name}", self.namespace).data
            for name in ("tls", "token")
        }
        authorities = folder / "ca.crt"
        authorities.write_bytes(base64.b64decode(secrets["tls"]["ca.crt"]))
        token = base64.b64decode(secrets["token"]["token"]).decode()
        address = self.server.forward(self.namespace, f"{cluster}-worker-0", 7701)
        name = f"{cluster}-leader.{self.namespace}.svc"
        return Client(address, token, Tls(str(authorities), name=name), patience_s=patience_s)


class Reader(threading.Thread):
    """Reads an output until the client is closed.

    Attributes:
        shown: Epochs with the keys of their rows, as they came.
    """

    def __init__(self, outputs: Iterator[tuple[str, int, Any]]) -> None:
        super().__init__(name="reader", daemon=True)
        self.shown: list[tuple[int, set[int]]] = []
        self._outputs = outputs
        self._news = threading.Condition()
        self.start()

    def run(self) -> None:
        with suppress(ClusterError):
            for _, epoch, rows in self._outputs:
                with self._news:
                    self.shown.append((epoch, set(rows["key"])))
                    self._news.notify_all()

    def await_epoch(self, epoch: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.shown and self.shown[-1][0] >= epoch, WITHIN_S), self.shown[-3:]


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
    url = {key: f"redis://redis.{namespace}.svc:6379/{number}" for key, number in (("url", 0), ("other", 1))}
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


def job(cluster: str, code: str) -> dict[str, Any]:
    """A spec."""
    return {"clusterRef": {"name": cluster}, "source": {"inline": textwrap.dedent(code)}}


def runs(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Running"


def goes_on(objects: Objects) -> None:
    """Waits until the job has made another checkpoint."""
    before = objects.get("LimnadJob", "endless")["status"]["checkpoint"]
    objects.until("LimnadJob", "endless", lambda status: runs(status) and status["checkpoint"] > before)


def test_a_job_as_an_object_comes_to_the_right_answer(cluster: Objects, tmp_path: Path) -> None:
    code = {"metadata": {"name": "code"}, "data": {"count.py": textwrap.dedent(COUNT)}}
    cluster.core.create_namespaced_config_map(cluster.namespace, code)
    source = {"configMap": {"name": "code", "key": "count.py"}}
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
    endless.make("LimnadJob", "stubborn", job("c", STUBBORN))
    endless.until("LimnadJob", "stubborn", runs)
    endless.scale("c", 1)
    status = endless.until("LimnadCluster", "c", lambda status: status.get("phase") == "Degraded")
    assert "the cluster keeps its 3 workers: job stubborn-" in status["refusal"]
    assert "stage 'odd' keeps state that is not by key" in status["refusal"]
    (degraded,) = (each for each in status["conditions"] if each["type"] == "Degraded")
    assert (degraded["status"], degraded["message"]) == ("True", status["refusal"])
    for name in ("stubborn", "endless"):
        endless.until("LimnadJob", name, lambda status: runs(status) and status["width"] == 3)
    assert len(worker_pods(endless)) == 3
    endless.delete("LimnadJob", "stubborn")
    endless.scale("c", 2)
    endless.until("LimnadCluster", "c", lambda status: runs(status) and status["workers"] == "2/2")
    assert endless.get("LimnadJob", "endless")["status"]["restarts"] == 0
    goes_on(endless)


def test_certificates_are_renewed_under_a_job_that_runs(endless: Objects, tmp_path: Path) -> None:
    before = {name: secret(endless, f"c-{name}") for name in ("ca", "tls")}
    aged = base64.b64encode(nearly_over(before["ca"])).decode()
    endless.core.patch_namespaced_secret("c-ca", endless.namespace, {"data": {"tls.crt": aged}})
    announced = until_secret(endless, "c-ca", lambda held: "next.crt" in held)
    aged = base64.b64encode(nearly_over({"tls.crt": announced["next.crt"], "tls.key": announced["next.key"]})).decode()
    endless.core.patch_namespaced_secret("c-ca", endless.namespace, {"data": {"next.crt": aged}})
    (renewed,) = until(
        endless.core.list_namespaced_secret,
        endless.namespace,
        field_selector="metadata.name=c-tls",
        good=lambda items: (
            x509.load_pem_x509_certificates(base64.b64decode(items[0].data["ca.crt"]))[0].public_key()
            != x509.load_pem_x509_certificates(before["ca"]["tls.crt"])[0].public_key()
        ),
    )
    new = x509.load_pem_x509_certificates(base64.b64decode(renewed.data["ca.crt"]))[0]
    old = x509.load_pem_x509_certificates(before["ca"]["tls.crt"])[0]
    assert new.public_key() != old.public_key(), "there is another authority"
    goes_on(endless)
    assert endless.get("LimnadJob", "endless")["status"]["restarts"] == 0, "nothing was lost by it"
    with endless.client("c", tmp_path) as ours:
        (tmp_path / "ca.crt").write_bytes(new.public_bytes(Encoding.PEM))
        assert ours.cluster().expected == 2, "who believes the new authority alone is answered"
    os.kill(endless.server.pid(endless.namespace, "c-worker-1"), signal.SIGKILL)  # All connections are made anew.
    goes_on(endless)
    endless.until("LimnadCluster", "c", lambda status: runs(status) and status["workers"] == "2/2")


def secret(objects: Objects, name: str) -> dict[str, bytes]:
    found = objects.core.read_namespaced_secret(name, objects.namespace).data
    return {key: base64.b64decode(value) for key, value in found.items()}


def until_secret(objects: Objects, name: str, good: Callable[[dict[str, bytes]], bool]) -> dict[str, bytes]:
    until(
        objects.core.list_namespaced_secret,
        objects.namespace,
        field_selector=f"metadata.name={name}",
        good=lambda items: good(items[0].data),
    )
    return secret(objects, name)


def nearly_over(authority: dict[str, bytes]) -> bytes:
    """The certificate of an authority, with the same key and not much time left."""
    held = x509.load_pem_x509_certificates(authority["tls.crt"])[0]
    key: Any = serialization.load_pem_private_key(authority["tls.key"], None)
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(held.issuer, held.subject, held.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=90)).not_valid_after(now + dt.timedelta(days=10))
    for each in held.extensions:
        builder = builder.add_extension(each.value, each.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


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


def test_an_image_under_which_a_job_fails_is_taken_back_and_nothing_of_it_shown(
    endless: Objects, tmp_path: Path
) -> None:
    endless.make("LimnadJob", "frail", job("c", FRAIL))
    endless.until("LimnadJob", "frail", lambda status: runs(status) and status.get("checkpoint", 0) > 0)
    status = endless.get("LimnadJob", "endless")["status"]
    with endless.client("c", tmp_path, patience_s=WITHIN_S) as ours:
        reader = Reader(ours.job(status["job"]).outputs("counts", from_epochs={"counts": status["epoch"]}))
        image = endless.get("LimnadCluster", "c")["spec"]["image"]
        endless.patch("LimnadCluster", "c", {"image": "limnad-wrong:1"})
        status = endless.until("LimnadCluster", "c", lambda status: status.get("phase") == "Degraded")
        assert "image limnad-wrong:1 was not taken: job frail-" in status["failure"]
        assert "RuntimeError: not with this image" in status["failure"]
        assert {pod.spec.containers[0].image for pod in worker_pods(endless)} == {image}
        endless.until("LimnadJob", "frail", runs)
        goes_on(endless)
        reader.await_epoch(endless.get("LimnadJob", "endless")["status"]["epoch"])
    reader.join()
    epochs = [epoch for epoch, _ in reader.shown]
    assert epochs == list(range(epochs[0], epochs[-1] + 1)), "each epoch once, and in order"
    assert set().union(*(keys for _, keys in reader.shown)) == {0, 1, 2}
    endless.delete("LimnadJob", "frail")
    endless.patch("LimnadCluster", "c", {"image": image})
    endless.until("LimnadCluster", "c", runs)


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


def test_a_job_with_a_cluster_of_its_own_takes_it_along(objects: Objects, tmp_path: Path) -> None:
    store = {"secretRef": {"name": "store", "key": "other"}, "onDeletion": "Delete"}
    own = {"spec": {"image": "limnad:1", "workers": {"replicas": 1}, "store": store}}
    source = {"image": {"path": str(ROOT / "examples" / "collatz.py")}}
    objects.make("LimnadJob", "own", {"clusterTemplate": own, "source": source, "arguments": {"largest": "10"}})
    status = objects.until("LimnadJob", "own", lambda status: status.get("phase") in {"Finished", "Failed"})
    assert (status["phase"], status["cluster"]) == ("Finished", "own"), status
    with objects.client("own", tmp_path) as ours:
        steps = dict(row for _, _, rows in ours.job(status["job"]).outputs("steps") for row in rows)
    assert (steps[1], steps[6], steps[7], len(steps)) == (0, 8, 16, 10)
    objects.delete("LimnadJob", "own")
    for list_objects in (objects.core.list_namespaced_pod, objects.core.list_namespaced_secret):
        own_ones = "app.kubernetes.io/instance=own"
        until(list_objects, objects.namespace, good=lambda items: not items, label_selector=own_ones)
    with pytest.raises(client.ApiException, match="404"):
        objects.get("LimnadCluster", "own")


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
