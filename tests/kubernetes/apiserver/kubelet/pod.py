"""One pod on a node: its network, its volumes, its containers, and what the API server is told of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kubernetes.apiserver.errors import ApiError
from tests.kubernetes.apiserver.kubelet.container import LOOK_AGAIN_S, Container
from tests.kubernetes.apiserver.kubelet.environment import Missing, environment, expand
from tests.kubernetes.apiserver.kubelet.network import GATEWAY
from tests.kubernetes.apiserver.kubelet.probes import Target, probe
from tests.kubernetes.apiserver.kubelet.process import OWN_PATH, Launch, Mount, Process
from tests.kubernetes.apiserver.kubelet.volumes import Volumes
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of, namespace_of, now, set_condition

if TYPE_CHECKING:
    from tests.kubernetes.apiserver.kubelet.node import Node

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


class Pod:
    """Runs until it is deleted, or has ended.

    Args:
        node: Where it is.
        item: The object.
    """

    def __init__(self, node: Node, item: Object) -> None:
        self._node = node
        self._item = copied(item)
        self._started = now()
        self.grace_s: int | None = None
        self.uid: str = item["metadata"]["uid"]
        self.namespace, self.address = node.network.add_pod()
        self._item["status"] = {**(item.get("status") or {}), "podIP": self.address, "hostIP": GATEWAY}
        self._folder: Path = node.folder / self.uid
        self._volumes = Volumes(node.store, self._item, self._folder, node.claims, node.token(item))
        spec = item["spec"]
        policy = spec.get("restartPolicy", "Always")
        once = "Never" if policy == "Never" else "OnFailure"
        self._first = [self._container(each, once) for each in spec.get("initContainers") or []]
        self._main = [self._container(each, policy) for each in spec["containers"]]
        self._initialized = not self._first
        self._failed = False
        self._phase = "Pending"
        self._running: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    def _container(self, spec: Object, restart: str) -> Container:
        folder = self._folder / "logs" / spec["name"]
        return Container(spec, folder, restart, self._launch, self._ask, self._tell)

    @property
    def containers(self) -> Iterator[Container]:
        """All of it."""
        return iter((*self._first, *self._main))

    def container(self, name: str) -> Container | None:
        """One, by its name."""
        return next((each for each in self.containers if each.spec["name"] == name), None)

    # ------------------------------------------------------------------------------------------------------- living

    def start(self) -> None:
        """Begins."""
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        await self._mount()
        self.publish()
        for each in self._first:
            await each.run()
            if each.code:
                self._failed = True
                self.publish()
                return
        self._initialized = True
        self.publish()
        await asyncio.gather(*(each.run() for each in self._main))
        self.publish()

    async def _mount(self) -> None:
        told = ""
        while True:
            try:
                self._volumes.make()
            except Missing as error:
                if str(error) != told:
                    told = str(error)
                    self._node.event(self._item, "FailedMount", told)
                    self.publish()
            else:
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    def refresh(self, item: Object) -> None:
        """The object has changed, or something that it mounts."""
        self._item["metadata"] = copied(item["metadata"])
        self._volumes.refresh()

    def stop(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over; then the object goes. A shorter grace counts."""
        if self._stopping is not None:
            self._stopping.cancel()
        self._stopping = asyncio.ensure_future(self._stop(grace_s))

    async def _stop(self, grace_s: float) -> None:
        for each in self.containers:
            if each.process is not None:
                self._node.event(self._item, "Killing", f"Stopping container {each.spec['name']}", warn=False)
            each.end()
        if self._running is not None:
            done, _ = await asyncio.wait([self._running], timeout=grace_s if self._alive() else 0)
            if not done:
                await self._end_now()
        self.publish()
        self._node.finish(self)

    def _alive(self) -> bool:
        return any(each.process is not None for each in self.containers)

    async def _end_now(self) -> None:
        for each in self.containers:
            each.kill()
        if self._running is not None:
            if self._alive():
                await asyncio.wait([self._running], timeout=10)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def kill(self) -> None:
        """Ends it at once, and takes away all that was its own."""
        if self._stopping is not None and self._stopping is not asyncio.current_task():
            self._stopping.cancel()
        await self._end_now()
        self._node.network.remove_pod(self.namespace)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def freeze(self, *, frozen: bool) -> None:
        """Stops all its processes where they are, or lets them go on."""
        for each in self.containers:
            if each.process is not None:
                each.process.freeze(frozen=frozen)

    # ------------------------------------------------------------------------------------------- what containers need

    def _launch(self, spec: Object, log: Path) -> Launch | None:
        image = self._node.images.find(spec.get("image", ""))
        if image is None:
            return None
        base = {
            "PATH": ":".join((*map(str, image.path), OWN_PATH)),
            "HOSTNAME": name_of(self._item),
            "HOME": "/",
            "LANG": "C.UTF-8",
            **self._node.cluster_env(),
            **image.env,
        }
        env = environment(self._node.store, self._item, spec, base)
        command = spec.get("command") or image.entrypoint
        return Launch(
            network=self.namespace,
            hostname=name_of(self._item),
            command=[expand(word, env) for word in (*command, *(spec.get("args") or ()))],
            env=env,
            folder=spec.get("workingDir", ""),
            scratch=self._folder / "roots" / spec["name"],
            mounts=list(self._mounts(spec)),
            keeps=image.keeps,
            names=self._node.names(namespace_of(self._item)),
            read_only=bool(dig(spec, "securityContext", "readOnlyRootFilesystem")),
            log=log,
        )

    def _mounts(self, spec: Object) -> Iterator[Mount]:
        for each in spec.get("volumeMounts") or []:
            source = self._volumes.folder(each["name"])
            if each.get("subPath"):
                source /= each["subPath"]
                if not source.exists():
                    source.mkdir(parents=True)
            yield Mount(source, each["mountPath"], bool(each.get("readOnly")))
        if self._item["spec"].get("automountServiceAccountToken", True):
            yield Mount(self._volumes.token_folder, TOKEN_PATH, read_only=True)

    async def _ask(self, container: Object, process: Process, spec: Object) -> str:
        target = Target(container, self.address, process, self._folder)
        return await probe(self._node.network, self._node.forwards, target, spec)

    # ------------------------------------------------------------------------------------------------------- telling

    def _tell(self, reason: str, message: str) -> None:
        if reason:
            self._node.event(self._item, reason, message, warn=reason not in {"Started", "Killing"})
        self.publish()

    def publish(self) -> None:
        """Tells the API server how things are, unless the node is lost."""
        if self._node.lost:
            return
        with suppress(ApiError):  # The object is gone, or is another one of the same name.
            self._node.write_status(self._item, self.status())

    def status(self) -> Object:
        """The pod's status."""
        self._phase = self._next_phase()
        over = self._phase in {"Succeeded", "Failed"}
        ready = not over and self._initialized and all(each.ready for each in self._main)
        status: Object = {
            "phase": self._phase,
            "startTime": self._started,
            "hostIP": GATEWAY,
            "hostIPs": [{"ip": GATEWAY}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "qosClass": "Burstable",
            "conditions": copied(dig(self._node.current(self._item), "status", "conditions", default=[])),
            "containerStatuses": [each.status() for each in self._main],
        }
        if self._first:
            status["initContainerStatuses"] = [each.status() for each in self._first]
        why = None if ready else "PodCompleted" if over else "ContainersNotReady"
        set_condition(status, "PodScheduled", true=True)
        set_condition(status, "Initialized", true=self._initialized)
        for kind in ("ContainersReady", "Ready"):
            set_condition(status, kind, true=ready, reason=why)
        return status

    def _next_phase(self) -> str:
        states = [each.state for each in self._main]
        if self._failed:
            return "Failed"
        if not self._initialized:
            return "Pending"
        policy = self._item["spec"].get("restartPolicy", "Always")
        ended = all("terminated" in state for state in states)
        if ended and (policy != "Always" or self._stopping is not None):
            return "Failed" if any(each.code for each in self._main) else "Succeeded"
        if any("running" in state for state in states) or any(each.restarts for each in self._main):
            return "Running"
        return self._phase
