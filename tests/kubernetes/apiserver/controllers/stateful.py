"""StatefulSets: pods with names and volumes that stay.

A pod is replaced when its object is gone, and not before: one on a node that is lost stays for ever, until somebody
deletes it by force. That is the point of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.controllers.controller import Key
from tests.kubernetes.apiserver.controllers.pods import PODS, PodMaker, digest, is_over, is_ready, label
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of, namespace_of, owner_of, owner_reference
from tests.kubernetes.apiserver.store import Change

SETS: Final = ("apps", "statefulsets")
CLAIMS: Final = ("", "persistentvolumeclaims")
REVISION: Final = "controller-revision-hash"


class StatefulSets(PodMaker):
    """Looks at one set."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A set, and that of a pod."""
        if change.kind == SETS:
            return [(namespace_of(change.item), name_of(change.item))]
        owner = owner_of(change.item) if change.kind == PODS else None
        return [(namespace_of(change.item), owner["name"])] if owner and owner["kind"] == "StatefulSet" else []

    def look(self, namespace: str, name: str) -> None:
        """At one set."""
        item = self.find(SETS, namespace, name)
        if item is None:
            return
        revision = f"{name}-{digest(item['spec']['template'])}"
        pods = {_ordinal(pod): pod for pod in self.pods_of(item)}
        if not item["metadata"].get("deletionTimestamp"):
            self._act(item, pods, revision)
        self._tell(namespace, name, revision)

    def _act(self, item: Object, pods: dict[int, Object], revision: str) -> None:
        """One step where they follow one another, all steps where they need not."""
        spec = item["spec"]
        first = dig(spec, "ordinals", "start", default=0)
        wanted = range(first, first + spec["replicas"])
        in_order = spec["podManagementPolicy"] == "OrderedReady"
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is None:
                self._make(item, ordinal, self._revision_for(item, ordinal, revision))
            elif is_over(pod):
                self.end_pod(pod)
            if in_order and (pod is None or not is_ready(pod)):
                return
        for ordinal in sorted(pods.keys() - set(wanted), reverse=True):
            self.end_pod(pods[ordinal])
            if in_order:
                return
        self._update(item, pods, wanted, revision)

    def _revision_for(self, item: Object, ordinal: int, revision: str) -> str:
        partition = dig(item, "spec", "updateStrategy", "rollingUpdate", "partition", default=0)
        return revision if ordinal >= partition else dig(item, "status", "currentRevision", default=revision)

    def _update(self, item: Object, pods: dict[int, Object], wanted: range, revision: str) -> None:
        """From the last one down, one at a time, each when those after it are ready."""
        strategy = item["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        partition = dig(strategy, "rollingUpdate", "partition", default=0)
        for ordinal in reversed(wanted):
            pod = pods.get(ordinal)
            if pod is None or ordinal < partition:
                return
            if label(pod, REVISION) != revision:
                self.end_pod(pod)
                return
            if not is_ready(pod):
                return

    def _make(self, item: Object, ordinal: int, revision: str) -> None:
        name = f"{name_of(item)}-{ordinal}"
        template = copied(item["spec"]["template"])
        spec = template["spec"]
        spec |= {"hostname": name, "subdomain": item["spec"].get("serviceName", "")}
        claimed = []
        for claim in item["spec"].get("volumeClaimTemplates") or []:
            own = f"{name_of(claim)}-{name}"
            claimed.append({"name": name_of(claim), "persistentVolumeClaim": {"claimName": own}})
            self._claim(item, claim, own)
        taken = {each["name"] for each in claimed}
        spec["volumes"] = [*claimed, *(each for each in spec.get("volumes") or [] if each["name"] not in taken)]
        labels = {
            REVISION: revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        }
        self.make_pod(item, template, name=name, labels=labels)

    def _claim(self, item: Object, claim: Object, name: str) -> None:
        namespace = namespace_of(item)
        if self.find(CLAIMS, namespace, name) is not None:
            return
        made = copied(claim)
        made["metadata"]["name"] = name
        made["metadata"].pop("namespace", None)
        if dig(item, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted") == "Delete":
            made["metadata"]["ownerReferences"] = [owner_reference(item)]
        self.api.create(self.resource(CLAIMS), namespace, made)

    def _tell(self, namespace: str, name: str, revision: str) -> None:
        item = self.find(SETS, namespace, name)
        if item is None:
            return
        pods = list(self.pods_of(item))
        old = item.get("status") or {}
        updated = [pod for pod in pods if label(pod, REVISION) == revision]
        current = old.get("currentRevision", revision)
        if len(updated) == len(pods) == item["spec"]["replicas"] and all(map(is_ready, pods)):
            current = revision
        ready = sum(map(is_ready, pods))
        status = {
            **old,
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": sum(label(pod, REVISION) == current for pod in pods),
            "updatedReplicas": len(updated),
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
        }
        self.write_status(SETS, item, status)


def _ordinal(pod: Object) -> int:
    return int(name_of(pod).rpartition("-")[2])
