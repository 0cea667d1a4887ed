"""Nodes: which pod goes where, and what becomes of pods whose node is not heard of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.controllers.controller import Controller, Key
from tests.kubernetes.apiserver.controllers.pods import PODS, is_over
from tests.kubernetes.apiserver.objects import (
    Object,
    condition_of,
    copied,
    dig,
    name_of,
    namespace_of,
    owner_of,
    parse_time,
    set_condition,
)
from tests.kubernetes.apiserver.selectors import by_selector
from tests.kubernetes.apiserver.store import Change

NODES: Final = ("", "nodes")
CLAIMS: Final = ("", "persistentvolumeclaims")
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
TOLERATED_S: Final = 300.0
"""How long a pod stays on a node that is not heard of, if it does not say so itself."""


class Scheduler(Controller):
    """Looks at one pod: binds it to the node that it likes best, or else that has the fewest of its kind."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A pod without a node, and all of them when a node has changed."""
        if change.kind == PODS and change.type != "DELETED" and not dig(change.item, "spec", "nodeName"):
            return [(namespace_of(change.item), name_of(change.item))]
        if change.kind == NODES:
            waiting = [pod for pod in self.api.store.items(PODS) if not dig(pod, "spec", "nodeName")]
            return [(namespace_of(pod), name_of(pod)) for pod in waiting]
        return []

    def look(self, namespace: str, name: str) -> None:
        """At one pod."""
        pod = self.find(PODS, namespace, name)
        if pod is None or dig(pod, "spec", "nodeName") or pod["metadata"].get("deletionTimestamp"):
            return
        nodes = [node for node in self.api.store.items(NODES) if self._fits(node, pod)]
        if not nodes:
            status = copied(pod.get("status") or {})
            message = "0 nodes are available: all are cordoned, not ready, or not selected"
            set_condition(status, "PodScheduled", true=False, reason="Unschedulable", message=message)
            self.write_status(PODS, pod, status)
            return
        self._bind_claims(pod)
        chosen = min(nodes, key=lambda node: (self._load(node, pod), name_of(node)))
        bound = copied(pod)
        bound["spec"]["nodeName"] = name_of(chosen)
        self.api.update(self.resource(PODS), namespace, name, bound)

    def _fits(self, node: Object, pod: Object) -> bool:
        ready = condition_of(node, "Ready")
        labels = node["metadata"].get("labels") or {}
        selected = all(labels.get(key) == value for key, value in (dig(pod, "spec", "nodeSelector") or {}).items())
        return ready is not None and ready["status"] == "True" and not dig(node, "spec", "unschedulable") and selected

    def _load(self, node: Object, pod: Object) -> tuple[int, int, int]:
        there = [each for each in self.api.store.items(PODS) if dig(each, "spec", "nodeName") == name_of(node)]
        own = owner_of(pod)
        alike = [each for each in there if own is not None and (owner_of(each) or {}).get("uid") == own["uid"]]
        return _unwanted(pod, there), len(alike), sum(not is_over(each) for each in there)

    def _bind_claims(self, pod: Object) -> None:
        """A claim is a folder of this machine: it is bound when somebody uses it."""
        for volume in dig(pod, "spec", "volumes", default=[]):
            claim = dig(volume, "persistentVolumeClaim", "claimName")
            found = self.find(CLAIMS, namespace_of(pod), claim) if claim else None
            if found is not None and dig(found, "status", "phase") != "Bound":
                size = dig(found, "spec", "resources", "requests", default={})
                status = {
                    "phase": "Bound",
                    "accessModes": dig(found, "spec", "accessModes", default=[]),
                    "capacity": size,
                }
                self.write_status(CLAIMS, found, status)


def _unwanted(pod: Object, there: list[Object]) -> int:
    """How much a pod would rather not be on a node where these are."""
    weight = 0
    kind = "preferredDuringSchedulingIgnoredDuringExecution"
    for each in dig(pod, "spec", "affinity", "podAntiAffinity", kind, default=[]):
        term = each["podAffinityTerm"]
        is_meant = by_selector(term.get("labelSelector"))
        if term["topologyKey"] == "kubernetes.io/hostname":
            weight += each["weight"] * sum(namespace_of(one) == namespace_of(pod) and is_meant(one) for one in there)
    return weight


class Lifecycle(Controller):
    """Looks at one node: pods on one that is not heard of are not ready, and deleted when they tolerate it no more."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A node, and that of a pod."""
        if change.kind == NODES:
            return [("", name_of(change.item))]
        node = dig(change.item, "spec", "nodeName") if change.kind == PODS else None
        return [("", node)] if node else []

    def look(self, namespace: str, name: str) -> None:
        """At one node."""
        node = self.find(NODES, "", name)
        ready = condition_of(node, "Ready") if node else None
        if node is None or ready is None:
            return
        heard = ready["status"] == "True"
        if heard is any(taint["key"] == UNREACHABLE for taint in dig(node, "spec", "taints", default=[])):
            self._taint(node, off=heard)
        if heard:
            return
        unheard_s = (dt.datetime.now(dt.UTC) - parse_time(ready["lastTransitionTime"])).total_seconds()
        for pod in list(self.api.store.items(PODS)):
            if dig(pod, "spec", "nodeName") == name and not is_over(pod):
                self._lose(pod, unheard_s, name)

    def _taint(self, node: Object, *, off: bool) -> None:
        new = copied(node)
        taints = [each for each in dig(node, "spec", "taints", default=[]) if each["key"] != UNREACHABLE]
        if not off:
            taints += [{"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        new.setdefault("spec", {})["taints"] = taints
        self.api.update(self.resource(NODES), "", name_of(node), new)

    def _lose(self, pod: Object, unheard_s: float, node: str) -> None:
        status = copied(pod.get("status") or {})
        for kind in ("Ready", "ContainersReady"):
            set_condition(status, kind, true=False, reason="NodeLost")
        self.write_status(PODS, pod, status)
        left_s = _tolerated_s(pod) - unheard_s
        if left_s > 0:
            self.look_later(("", node), left_s + 0.05)
        elif not pod["metadata"].get("deletionTimestamp"):
            self.api.delete(self.resource(PODS), namespace_of(pod), name_of(pod))


def _tolerated_s(pod: Object) -> float:
    found = [
        float(each.get("tolerationSeconds", 1e9))
        for each in dig(pod, "spec", "tolerations", default=[])
        if each.get("key") in {UNREACHABLE, None, ""} and each.get("effect", "NoExecute") == "NoExecute"
    ]
    return min(found, default=TOLERATED_S)
