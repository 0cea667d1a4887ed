"""What controllers that make pods have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tests.kubernetes.apiserver.controllers.controller import Controller
from tests.kubernetes.apiserver.objects import (
    Object,
    condition_of,
    copied,
    dig,
    labels_of,
    name_of,
    namespace_of,
    owner_of,
    owner_reference,
)

PODS: Final = ("", "pods")


class PodMaker(Controller):
    """Makes and ends pods for its objects."""

    def pods_of(self, owner: Object) -> Iterator[Object]:
        """Those that it controls."""
        for pod in list(self.api.store.items(PODS, namespace_of(owner))):
            controller = owner_of(pod)
            if controller is not None and controller["uid"] == owner["metadata"]["uid"]:
                yield pod

    def make_pod(self, owner: Object, template: Object, **metadata: Any) -> None:
        """Makes one of a template."""
        own = template.get("metadata") or {}
        labels = {**(own.get("labels") or {}), **metadata.pop("labels", {})}
        pod = {
            "metadata": {
                "labels": labels,
                "annotations": own.get("annotations") or {},
                "ownerReferences": [owner_reference(owner)],
                **metadata,
            },
            "spec": copied(template["spec"]),
        }
        self.api.create(self.resource(PODS), namespace_of(owner), pod)

    def end_pod(self, pod: Object) -> None:
        """Deletes one, in its own time."""
        if not pod["metadata"].get("deletionTimestamp"):
            self.api.delete(self.resource(PODS), namespace_of(pod), name_of(pod))


def is_ready(pod: Object) -> bool:
    """Whether it can be used."""
    ready = condition_of(pod, "Ready")
    return ready is not None and ready["status"] == "True" and not pod["metadata"].get("deletionTimestamp")


def is_over(pod: Object) -> bool:
    """Whether it has ended."""
    return dig(pod, "status", "phase") in {"Succeeded", "Failed"}


def digest(template: Object) -> str:
    """Of a template: what its pods are of one revision by."""
    return hashlib.sha256(msgspec.json.encode(template, order="sorted")).hexdigest()[:10]


def label(pod: Object, name: str) -> str:
    """One of its labels."""
    return labels_of(pod).get(name, "")
