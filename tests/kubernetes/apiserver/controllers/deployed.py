"""Deployments and ReplicaSets: pods that are like each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from tests.kubernetes.apiserver.controllers.controller import Controller, Key
from tests.kubernetes.apiserver.controllers.pods import PODS, PodMaker, digest, is_over, is_ready, label
from tests.kubernetes.apiserver.objects import (
    Object,
    copied,
    dig,
    name_of,
    namespace_of,
    owner_of,
    owner_reference,
    set_condition,
)
from tests.kubernetes.apiserver.store import Change

DEPLOYMENTS: Final = ("apps", "deployments")
SETS: Final = ("apps", "replicasets")
HASH: Final = "pod-template-hash"


class ReplicaSets(PodMaker):
    """Looks at one set."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A set, and that of a pod."""
        if change.kind == SETS:
            return [(namespace_of(change.item), name_of(change.item))]
        owner = owner_of(change.item) if change.kind == PODS else None
        return [(namespace_of(change.item), owner["name"])] if owner and owner["kind"] == "ReplicaSet" else []

    def look(self, namespace: str, name: str) -> None:
        """At one set. A pod that is on its way out counts no more: another one comes at once."""
        item = self.find(SETS, namespace, name)
        if item is None:
            return
        pods = [pod for pod in self.pods_of(item) if not is_over(pod) and not pod["metadata"].get("deletionTimestamp")]
        if not item["metadata"].get("deletionTimestamp"):
            wanted = item["spec"]["replicas"]
            for _ in range(wanted - len(pods)):
                self.make_pod(item, item["spec"]["template"], generateName=f"{name}-")
            for pod in sorted(pods, key=is_ready)[: max(0, len(pods) - wanted)]:
                self.end_pod(pod)
        item = self.find(SETS, namespace, name)
        if item is not None:
            pods = [
                pod for pod in self.pods_of(item) if not is_over(pod) and not pod["metadata"].get("deletionTimestamp")
            ]
            ready = sum(map(is_ready, pods))
            counts = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
            status = {**counts, "fullyLabeledReplicas": len(pods), "observedGeneration": item["metadata"]["generation"]}
            self.write_status(SETS, item, status)


class Deployments(Controller):
    """Looks at one deployment."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A deployment, and that of a set."""
        if change.kind == DEPLOYMENTS:
            return [(namespace_of(change.item), name_of(change.item))]
        owner = owner_of(change.item) if change.kind == SETS else None
        return [(namespace_of(change.item), owner["name"])] if owner and owner["kind"] == "Deployment" else []

    def look(self, namespace: str, name: str) -> None:
        """At one deployment."""
        item = self.find(DEPLOYMENTS, namespace, name)
        if item is None:
            return
        if not item["metadata"].get("deletionTimestamp"):
            self._act(item)
        item = self.find(DEPLOYMENTS, namespace, name)
        if item is not None:
            self._tell(item)

    def _sets(self, item: Object) -> list[Object]:
        found = []
        for each in self.api.store.items(SETS, namespace_of(item)):
            owner = owner_of(each)
            if owner is not None and owner["uid"] == item["metadata"]["uid"]:
                found.append(each)
        return found

    def _act(self, item: Object) -> None:
        """The new set grows as far as it may, the old ones shrink as far as they may."""
        wanted, own = item["spec"]["replicas"], digest(item["spec"]["template"])
        sets = self._sets(item)
        new = next((each for each in sets if label(each, HASH) == own), None)
        old = [each for each in sets if label(each, HASH) != own]
        if new is None:
            new = self._make(item, own)
        surge, unavailable = _room(item["spec"], wanted)
        others = sum(each["spec"]["replicas"] for each in old)
        if item["spec"]["strategy"]["type"] == "Recreate":
            alive = sum(dig(each, "status", "replicas", default=0) for each in old)
            target = 0 if alive else wanted
            may_go = others
        else:
            target = max(new["spec"]["replicas"], min(wanted, wanted + surge - others))
            ready = sum(dig(each, "status", "readyReplicas", default=0) for each in sets)
            idle = sum(each["spec"]["replicas"] - dig(each, "status", "readyReplicas", default=0) for each in old)
            may_go = max(idle, ready - (wanted - unavailable))
        self._scale(new, min(target, wanted))
        for each in old:
            gone = max(0, min(each["spec"]["replicas"], may_go))
            may_go -= gone
            self._scale(each, each["spec"]["replicas"] - gone)

    def _make(self, item: Object, own: str) -> Object:
        template = copied(item["spec"]["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = own
        selector = copied(item["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH] = own
        made = {
            "metadata": {
                "name": f"{name_of(item)}-{own}",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [owner_reference(item)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        return self.api.create(self.resource(SETS), namespace_of(item), made)

    def _scale(self, item: Object, replicas: int) -> None:
        if item["spec"]["replicas"] != replicas:
            found = self.find(SETS, namespace_of(item), name_of(item))
            assert found is not None
            new = copied(found)
            new["spec"]["replicas"] = replicas
            self.api.update(self.resource(SETS), namespace_of(item), name_of(item), new)

    def _tell(self, item: Object) -> None:
        sets, own, wanted = self._sets(item), digest(item["spec"]["template"]), item["spec"]["replicas"]
        new = [each for each in sets if label(each, HASH) == own]

        def count(some: list[Object], name: str) -> int:
            return sum(dig(each, "status", name, default=0) for each in some)

        ready, updated = count(sets, "readyReplicas"), count(new, "replicas")
        status: Object = {
            **copied(item.get("status") or {}),
            "observedGeneration": item["metadata"]["generation"],
            "replicas": count(sets, "replicas"),
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, wanted - ready),
        }
        _, unavailable = _room(item["spec"], wanted)
        done = updated >= wanted and count(new, "readyReplicas") >= wanted and status["replicas"] == updated
        enough = ready >= wanted - unavailable
        availability = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
        set_condition(status, "Available", true=enough, reason=availability)
        set_condition(
            status, "Progressing", true=True, reason="NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
        )
        self.write_status(DEPLOYMENTS, item, status)


def _room(spec: Object, wanted: int) -> tuple[int, int]:
    """How many there may be too many, and too few."""
    rolling = dig(spec, "strategy", "rollingUpdate", default={})
    surge = share(rolling.get("maxSurge", 0), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", 0), wanted, up=False)
    return surge, unavailable if surge or unavailable else 1


def share(value: Any, whole: int, *, up: bool) -> int:
    """A number, or a percentage of a whole."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * whole / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(value)
