"""What Kubernetes does by itself: StatefulSets make pods, nodes run and end them, what nobody owns is collected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from limnad_operator.api import ApiError
from limnad_operator.reconcile import pods
from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.telling import timestamp
from tests.helpers.operator_simulation.server import NAMESPACE, Server, plain
from tests.helpers.operator_simulation.weather import Weather

NO_IMAGE = "limnad:none"
"""Cannot be pulled."""

POD_INDEX = "apps.kubernetes.io/pod-index"


@dataclass
class Controllers:
    """See the module.

    Attributes:
        lost: UIDs of pods whose nodes do not answer.
        broken: UIDs of pods that will not become ready.
    """

    loop: asyncio.AbstractEventLoop
    server: Server
    weather: Weather
    lost: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    _addresses: int = 0

    def __post_init__(self) -> None:
        """Follows what happens."""
        self.server.watchers.append(self._happened)

    def _later(self, do: Callable[[], None], *, after_s: float | None = None) -> None:
        def run() -> None:
            try:
                do()
            except (ApiError, KeyError):
                return  # It is gone, or another one: whoever changed it has woken somebody.

        self.loop.call_later(self.weather.takes_s() if after_s is None else after_s, run)

    def _happened(self, before: Object | None, after: Object | None) -> None:
        now = after if after is not None else before
        assert now is not None
        name = now["metadata"]["name"]
        if now["kind"] == "StatefulSet":
            self._later(lambda: self._keep_pods(name))
        elif now["kind"] == "Pod":
            self._pod(before, after)
        if after is None:
            self._later(self._collect)
        elif before is None and now["metadata"].get("ownerReferences"):
            self._later(self._collect, after_s=5.0)  # Its owner may have gone before.

    # -- StatefulSets --------------------------------------------------------------------------------------------------

    def _keep_pods(self, name: str) -> None:
        workers = self.server.there("StatefulSet", name)
        if workers is None or "deletionTimestamp" in workers["metadata"]:
            return
        own = {
            pods.ordinal(pod): pod
            for pod in self.server.all("Pod")
            if any(each["uid"] == workers["metadata"]["uid"] for each in pod["metadata"]["ownerReferences"])
        }
        wanted = workers["spec"]["replicas"]
        for index, pod in own.items():
            if index >= wanted and not pods.leaving(pod):
                self.server.delete("Pod", pods.name(pod), pods.uid(pod))
        for index in range(wanted):
            if index not in own and self.server.there("Pod", f"{name}-{index}") is None:
                self._make_pod(workers, index)

    def _make_pod(self, workers: Object, index: int) -> None:
        template, name = plain(workers["spec"]["template"]), workers["metadata"]["name"]
        metadata = {
            **template["metadata"],
            "name": f"{name}-{index}",
            "namespace": NAMESPACE,
            "ownerReferences": [{"kind": "StatefulSet", "name": name, "uid": workers["metadata"]["uid"]}],
        }
        metadata["labels"] = {**metadata["labels"], POD_INDEX: str(index)}
        self.server.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _pod(self, before: Object | None, after: Object | None) -> None:
        if after is None:
            assert before is not None
            owner = before["metadata"]["ownerReferences"][0]["name"]
            self._later(lambda: self._keep_pods(owner))
        elif before is None:
            self._later(lambda: self._start(pods.name(after), pods.uid(after)))
        elif pods.leaving(after) and not pods.leaving(before):
            self._later(lambda: self._end(pods.name(after), pods.uid(after)))

    def _start(self, name: str, uid: str) -> None:
        pod = self.server.there("Pod", name)
        if pod is None or pods.uid(pod) != uid or uid in self.lost:
            return
        status: Object
        if image(pod) == NO_IMAGE:
            waiting = {"reason": "ErrImagePull", "message": "not found"}
            status = {"containerStatuses": [{"image": NO_IMAGE, "state": {"waiting": waiting}}], "conditions": []}
        else:
            status = {**pod.get("status", {}), "conditions": [self._ready(uid not in self.broken)]}
            if "podIP" not in status:
                self._addresses += 1
                status["podIP"] = f"10.0.{self._addresses // 250}.{self._addresses % 250 + 1}"
        self.server.set_status("Pod", name, status)

    def _ready(self, value: bool) -> Object:
        since = timestamp(self.server.wall_s)
        return {"type": "Ready", "status": str(value), "lastTransitionTime": since}

    def _end(self, name: str, uid: str) -> None:
        pod = self.server.there("Pod", name)
        if pod is not None and uid not in self.lost:
            self.server.delete("Pod", name, uid, grace_s=0)

    def crash(self, pod: Object) -> None:
        """Its container ends, and is started again."""
        name, uid = pods.name(pod), pods.uid(pod)
        if pods.ready(pod):
            restarts = int(pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0)) + 1
            status = {**pod["status"], "conditions": [self._ready(False)]}
            status["containerStatuses"] = [{"image": image(pod), "restartCount": restarts, "state": {}}]
            self.server.set_status("Pod", name, status)
            self._later(lambda: self._start(name, uid))

    def lose_node(self, pod: Object) -> None:
        """Its node does not answer any more; the control plane finds out, and wants the pod gone."""
        name, uid = pods.name(pod), pods.uid(pod)
        self.lost.add(uid)
        if "status" in pod:
            self.server.set_status("Pod", name, {**pod["status"], "conditions": [self._ready(False)]})
        self._later(lambda: self.server.delete("Pod", name, uid) if uid in self.lost else None)

    def break_pod(self, pod: Object) -> None:
        """It is not ready any more, and will not be; another one in its place may be."""
        self.broken.add(pods.uid(pod))
        if pods.ready(pod):
            status = {**pod["status"], "conditions": [self._ready(False)]}
            self.server.set_status("Pod", pods.name(pod), status)

    def heal(self) -> None:
        """All nodes answer again, and all pods may become ready."""
        lost, self.lost = self.lost, set()
        self.broken = set()
        for pod in self.server.all("Pod"):
            name, uid = pods.name(pod), pods.uid(pod)
            if pods.leaving(pod) and uid in lost:
                self._later(lambda name=name, uid=uid: self._end(name, uid))  # type: ignore[misc]
            elif not pods.leaving(pod) and not pods.ready(pod):
                self._later(lambda name=name, uid=uid: self._start(name, uid))  # type: ignore[misc]

    # -- garbage -------------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        uids = {each["metadata"]["uid"] for each in self.server.objects.values()}
        for each in list(self.server.objects.values()):
            owners = each["metadata"].get("ownerReferences")
            if owners and not any(owner["uid"] in uids for owner in owners) and not pods.leaving(each):
                metadata = each["metadata"]
                self.server.delete(each["kind"], metadata["name"], metadata["uid"])


def image(pod: Object) -> str:
    """What a pod runs."""
    return str(pod["spec"]["containers"][0]["image"])
