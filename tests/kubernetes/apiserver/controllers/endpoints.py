"""Endpoints: which pods a Service stands for now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.controllers.controller import Controller, Key
from tests.kubernetes.apiserver.controllers.pods import PODS, is_over, is_ready
from tests.kubernetes.apiserver.objects import Object, copied, dig, labels_of, name_of, namespace_of, owner_reference
from tests.kubernetes.apiserver.selectors import by_selector
from tests.kubernetes.apiserver.store import Change

SERVICES: Final = ("", "services")
ENDPOINTS: Final = ("", "endpoints")
SLICES: Final = ("discovery.k8s.io", "endpointslices")


class Endpoints(Controller):
    """Looks at one Service."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A Service, and all of a pod's namespace."""
        if change.kind == SERVICES:
            return [(namespace_of(change.item), name_of(change.item))]
        if change.kind != PODS:
            return []
        namespace = namespace_of(change.item)
        return [(namespace, name_of(each)) for each in self.api.store.items(SERVICES, namespace)]

    def look(self, namespace: str, name: str) -> None:
        """At one Service."""
        service = self.find(SERVICES, namespace, name)
        if service is None:
            if self.find(ENDPOINTS, namespace, name) is not None:
                self.api.delete(self.resource(ENDPOINTS), namespace, name)
            return
        selector = dig(service, "spec", "selector")
        if not selector or service["metadata"].get("deletionTimestamp"):
            return
        matches = by_selector({"matchLabels": selector})
        pods = [
            pod
            for pod in self.api.store.items(PODS, namespace)
            if matches(pod) and not is_over(pod) and dig(pod, "status", "podIP")
        ]
        self._write_endpoints(service, pods)
        self._write_slice(service, pods)

    def _write_endpoints(self, service: Object, pods: list[Object]) -> None:
        early = dig(service, "spec", "publishNotReadyAddresses", default=False)
        ready = [pod for pod in pods if is_ready(pod) or early]
        waiting = [pod for pod in pods if not is_ready(pod) and not early]
        subset: Object = {}
        if ready:
            subset["addresses"] = [_address(pod) for pod in ready]
        if waiting:
            subset["notReadyAddresses"] = [_address(pod) for pod in waiting]
        if subset and (ports := _ports(service, pods)):
            subset["ports"] = ports
        item = {"metadata": _meta(service, name_of(service)), "subsets": [subset] if subset else []}
        self._put(ENDPOINTS, namespace_of(service), item)

    def _write_slice(self, service: Object, pods: list[Object]) -> None:
        early = dig(service, "spec", "publishNotReadyAddresses", default=False)
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {
                    "ready": early or is_ready(pod),
                    "serving": is_ready(pod),
                    "terminating": bool(pod["metadata"].get("deletionTimestamp")),
                },
                "nodeName": pod["spec"].get("nodeName", ""),
                "targetRef": _reference(pod),
            }
            for pod in pods
        ]
        metadata = _meta(service, f"{name_of(service)}-limnad")
        metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/service-name": name_of(service)}
        metadata["ownerReferences"] = [owner_reference({**service, "apiVersion": "v1", "kind": "Service"})]
        item = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": _ports(service, pods)}
        self._put(SLICES, namespace_of(service), item)

    def _put(self, kind: tuple[str, str], namespace: str, item: Object) -> None:
        old = self.find(kind, namespace, name_of(item))
        if old is None:
            self.api.create(self.resource(kind), namespace, item)
        elif any(old.get(name) != value for name, value in item.items() if name != "metadata"):
            self.api.update(
                self.resource(kind),
                namespace,
                name_of(item),
                {**copied(old), **item, "metadata": copied(old["metadata"])},
            )


def _meta(service: Object, name: str) -> Object:
    return {"name": name, "labels": labels_of(service)} if labels_of(service) else {"name": name}


def _address(pod: Object) -> Object:
    told = {"ip": pod["status"]["podIP"], "targetRef": _reference(pod), "nodeName": pod["spec"].get("nodeName", "")}
    if pod["spec"].get("hostname"):
        told["hostname"] = pod["spec"]["hostname"]
    return told


def _reference(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": pod["metadata"]["uid"]}


def _ports(service: Object, pods: list[Object]) -> list[Object]:
    found = []
    for port in dig(service, "spec", "ports", default=[]):
        number = target_port(port, pods[0]) if pods else 0
        if number:
            told = {"port": number, "protocol": port["protocol"]}
            found.append({"name": port["name"], **told} if port.get("name") else told)
    return found


def target_port(port: Object, pod: Object) -> int:
    """The port of a pod that a Service's port stands for; 0: the pod has none of that name."""
    target = str(port.get("targetPort") or port["port"])
    if target.isdigit():
        return int(target)
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or []:
            if each.get("name") == target:
                return int(each["containerPort"])
    return 0
