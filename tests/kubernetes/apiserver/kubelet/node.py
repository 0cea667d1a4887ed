"""A node: the pods that are bound to it, and whether anybody hears of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.errors import ApiError
from tests.kubernetes.apiserver.kubelet.images import Images
from tests.kubernetes.apiserver.kubelet.network import GATEWAY, Forwards, Network
from tests.kubernetes.apiserver.kubelet.pod import Pod
from tests.kubernetes.apiserver.objects import Object, dig, name_of, namespace_of, now, set_condition
from tests.kubernetes.apiserver.requests import Options
from tests.kubernetes.apiserver.store import Change

PODS: Final = ("", "pods")
NODES: Final = ("", "nodes")
_MOUNTED: Final = {("", "secrets"), ("", "configmaps")}


class Node:
    """One of the cluster's.

    Args:
        name: Of the object.
        api: What there is.
        network: Of all pods.
        forwards: Ways into it.
        images: What can be pulled.
        folder: For what pods need.
        names: The folder with a namespace's ``hosts``.
        credentials: What a pod shows the API server.
        port: Where the API server listens inside.
    """

    def __init__(
        self,
        name: str,
        api: Api,
        network: Network,
        forwards: Forwards,
        images: Images,
        folder: Path,
        names: Callable[[str], Path],
        credentials: dict[str, bytes],
        port: int,
    ) -> None:
        self.name = name
        self.network = network
        self.forwards = forwards
        self.images = images
        self.names = names
        self.store = api.store
        self.folder = folder / name
        self.claims = folder / "claims"
        self.lost = False
        self._api = api
        self._port = port
        self._credentials = credentials
        self._pods: dict[str, Pod] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------------------------------------- its life

    def register(self) -> None:
        """Makes its object, and begins to look for pods."""
        nodes = self._api.resources.of_key(NODES)
        assert nodes is not None
        self._api.create(nodes, "", {"metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}})
        self.report()
        self._stop = self.store.listen(self._hear)

    def report(self) -> None:
        """Says that it is ready."""
        item = self.store.get(NODES, "", self.name)
        nodes = self._api.resources.of_key(NODES)
        assert item is not None
        assert nodes is not None
        capacity = {"cpu": "16", "memory": "64Gi", "pods": "110"}
        addresses = [{"type": "InternalIP", "address": GATEWAY}, {"type": "Hostname", "address": self.name}]
        status: Object = {
            **(item.get("status") or {}),
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": addresses,
        }
        set_condition(status, "Ready", true=True, reason="KubeletReady", message="kubelet is posting ready status")
        self._api.update(nodes, "", self.name, {**item, "status": status}, "status")

    async def close(self) -> None:
        """Ends all its pods."""
        self._stop()
        self.lost = True
        await asyncio.gather(*(pod.kill() for pod in list(self._pods.values())))
        await asyncio.gather(*self._tasks)

    def vanish(self, *, frozen: bool, cut: bool) -> None:
        """Nobody hears of it any more; its pods go on, stand still, or are cut off."""
        self.lost = True
        for pod in self._pods.values():
            if frozen:
                pod.freeze(frozen=True)
            if cut:
                self.network.cut(pod.namespace, off=True)

    def come_back(self) -> None:
        """It is heard of again: pods that have been deleted meanwhile end, the others are told of."""
        self.lost = False
        for pod in list(self._pods.values()):
            pod.freeze(frozen=False)
            self.network.cut(pod.namespace, off=False)
            item = self._bound(pod.uid)
            if item is None:
                self._drop(pod)
            else:
                pod.publish()
                self._look(item)
        for item in list(self.store.items(PODS)):
            self._look(item)
        self.report()

    # ------------------------------------------------------------------------------------------------------- its pods

    def pod(self, uid: str) -> Pod | None:
        """One that runs here."""
        return self._pods.get(uid)

    def _hear(self, change: Change) -> None:
        if self.lost:
            return
        if change.kind == PODS and dig(change.item, "spec", "nodeName") == self.name:
            if change.type == "DELETED":
                if pod := self._pods.get(change.item["metadata"]["uid"]):
                    self._drop(pod)
            else:
                self._look(change.item)
        elif change.kind in _MOUNTED:
            for pod in self._pods.values():
                item = self._bound(pod.uid)
                if item is not None and namespace_of(item) == namespace_of(change.item):
                    pod.refresh(item)

    def _look(self, item: Object) -> None:
        if dig(item, "spec", "nodeName") != self.name:
            return
        metadata = item["metadata"]
        pod = self._pods.get(metadata["uid"])
        if pod is None:
            if metadata.get("deletionTimestamp"):
                self._delete(item)
            elif dig(item, "status", "phase", default="Pending") in {"Pending", "Running"}:
                pod = self._pods[metadata["uid"]] = Pod(self, item)
                pod.start()
            return
        grace_s = metadata.get("deletionGracePeriodSeconds")
        if metadata.get("deletionTimestamp") and pod.grace_s != grace_s:
            pod.grace_s = grace_s
            pod.stop(float(grace_s or 0))
        elif not metadata.get("deletionTimestamp"):
            pod.refresh(item)

    def _bound(self, uid: str) -> Object | None:
        return next((item for item in self.store.items(PODS) if item["metadata"]["uid"] == uid), None)

    def _drop(self, pod: Pod) -> None:
        """A pod whose object is gone: it ends at once."""
        self._pods.pop(pod.uid, None)
        task = asyncio.ensure_future(pod.kill())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def finish(self, pod: Pod) -> None:
        """A pod has ended as it was asked to: its object goes."""
        item = self._bound(pod.uid)
        if self.lost:
            return
        if item is not None:
            self._delete(item)
        else:
            self._drop(pod)

    def _delete(self, item: Object) -> None:
        pods = self._api.resources.of_key(PODS)
        assert pods is not None
        self._api.delete(pods, namespace_of(item), name_of(item), Options(grace_s=0, uid=item["metadata"]["uid"]))

    # ------------------------------------------------------------------------------------------------ what pods need

    def token(self, pod: Object) -> dict[str, bytes]:
        """What a pod shows the API server."""
        return {**self._credentials, "namespace": namespace_of(pod).encode()}

    def cluster_env(self) -> dict[str, str]:
        """How a pod reaches the API server."""
        return {"KUBERNETES_SERVICE_HOST": GATEWAY, "KUBERNETES_SERVICE_PORT": str(self._port)}

    def current(self, item: Object) -> Object:
        """The object as it is now."""
        found = self.store.get(PODS, namespace_of(item), name_of(item))
        return found if found is not None and found["metadata"]["uid"] == item["metadata"]["uid"] else {}

    def write_status(self, item: Object, status: Object) -> None:
        """Puts a status in its place.

        Raises:
            ApiError: The object is gone.
        """
        pods = self._api.resources.of_key(PODS)
        current = self.current(item)
        assert pods is not None
        if current and current.get("status") != status:
            self._api.update(pods, namespace_of(item), name_of(item), {**current, "status": status}, "status")

    def event(self, pod: Object, reason: str, message: str, *, warn: bool = True) -> None:
        """Tells what has happened to a pod."""
        events = self._api.resources.find("", "v1", "events")
        assert events is not None
        reference = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod)}
        item = {
            "metadata": {"name": f"{name_of(pod)}.{secrets.token_hex(8)}"},
            "involvedObject": {**reference, "uid": pod["metadata"]["uid"]},
            "reason": reason,
            "message": message,
            "type": "Warning" if warn else "Normal",
            "source": {"component": "kubelet", "host": self.name},
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
        }
        with suppress(ApiError):  # The namespace is to go.
            self._api.create(events, namespace_of(pod), item)
