"""All nodes of a cluster, with their network and the controllers that make pods."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.controllers.controller import Controller
from tests.kubernetes.apiserver.controllers.deployed import Deployments, ReplicaSets
from tests.kubernetes.apiserver.controllers.disruption import Disruptions
from tests.kubernetes.apiserver.controllers.endpoints import Endpoints
from tests.kubernetes.apiserver.controllers.jobs import Jobs
from tests.kubernetes.apiserver.controllers.nodes import NODES, Lifecycle, Scheduler
from tests.kubernetes.apiserver.controllers.stateful import StatefulSets
from tests.kubernetes.apiserver.errors import ApiError
from tests.kubernetes.apiserver.kubelet.images import Images
from tests.kubernetes.apiserver.kubelet.network import Forwards, Network
from tests.kubernetes.apiserver.kubelet.node import PODS, Node
from tests.kubernetes.apiserver.kubelet.pod import Pod
from tests.kubernetes.apiserver.kubelet.policing import Policies
from tests.kubernetes.apiserver.kubelet.services import Services
from tests.kubernetes.apiserver.objects import Object, dig, set_condition

PORT: Final = 6443
"""Where the API server listens inside."""

_PROGRAMS: Final = ("ip", "nsenter", "mount", "chroot", "hostname")


def obstacle() -> str:
    """Why this machine can run no pods; empty: it can."""
    if os.geteuid():
        return "pods are run in namespaces, which takes root"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"pods need {', '.join(missing)}: apt-get install iproute2 util-linux hostname" if missing else ""


class Cluster:
    """Runs pods.

    Args:
        api: What there is.
        names: Of the nodes.
        images: What can be pulled.
        folder: For all that pods need.
        credentials: What pods show the API server.
    """

    def __init__(self, api: Api, names: list[str], images: Images, folder: Path, credentials: dict[str, bytes]) -> None:
        self._api = api
        self.network = Network()
        self.forwards = Forwards(self.network)
        hosts = folder / "names"
        hosts.mkdir()
        services = Services(api, self.network, self.forwards, hosts)
        makers = (Scheduler, StatefulSets, ReplicaSets, Deployments, Jobs, Disruptions, Endpoints, Lifecycle)
        policies = Policies(api, self.network, self.forwards)
        self._controllers: list[Controller] = [services, policies, *(make(api) for make in makers)]
        self.nodes = {
            name: Node(name, api, self.network, self.forwards, images, folder, services.names, credentials, PORT)
            for name in names
        }
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Registers the nodes."""
        self._tasks = [asyncio.ensure_future(each.run()) for each in self._controllers]
        await asyncio.sleep(0)
        for node in self.nodes.values():
            node.register()

    async def close(self) -> None:
        """Ends all pods, and leaves nothing behind."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self.nodes.values()))
        await self.forwards.close()
        self.network.close()

    def pod(self, namespace: str, name: str) -> Pod:
        """A pod that runs.

        Raises:
            LookupError: It does not.
        """
        item = self._api.store.get(PODS, namespace, name)
        node = self.nodes.get(dig(item, "spec", "nodeName", default=""))
        found = node.pod(item["metadata"]["uid"]) if node and item else None
        if found is None:
            raise LookupError(f"pod {namespace}/{name} runs nowhere")
        return found

    def vanish(self, name: str, *, frozen: bool, cut: bool) -> None:
        """A node is heard of no more: its object says so at once."""
        self.nodes[name].vanish(frozen=frozen, cut=cut)
        item = self._api.store.get(NODES, "", name)
        resource = self._api.resources.of_key(NODES)
        assert item is not None
        assert resource is not None
        status: Object = dict(item.get("status") or {})
        status["conditions"] = [dict(each) for each in status.get("conditions") or []]
        set_condition(
            status, "Ready", true=False, reason="NodeStatusUnknown", message="Kubelet stopped posting node status."
        )
        status["conditions"][0]["status"] = "Unknown"
        self._api.update(resource, "", name, {**item, "status": status}, "status")

    async def logs(self, pod: Object, container: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        """What a container has printed.

        Raises:
            ApiError: It has not begun.
        """
        node = self.nodes.get(dig(pod, "spec", "nodeName", default=""))
        running = node.pod(pod["metadata"]["uid"]) if node else None
        found = running.container(container) if running else None
        path = found.log_path(previous=query.get("previous") == "true") if found else None
        if path is None or not path.exists():
            name = pod["metadata"]["name"]
            message = f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating'
            raise ApiError(400, "BadRequest", message)
        with path.open("rb") as file:
            text = file.read()
            if tail := query.get("tailLines"):
                text = b"".join(text.splitlines(keepends=True)[-int(tail) :] if int(tail) else [])
            yield text
            while query.get("follow") == "true":
                over = found is None or "running" not in found.state
                if text := file.read():
                    yield text
                elif over:
                    return
                else:
                    await asyncio.sleep(0.1)
