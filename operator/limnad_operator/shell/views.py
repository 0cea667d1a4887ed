"""What is known of the API server's objects: lists that watches keep current, and who is concerned by a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from limnad_operator.reconcile.job import cluster_name
from limnad_operator.reconcile.plan import Object

KINDS = ("LimnadCluster", "LimnadJob", "LimnadCheckpoint")
"""What is reconciled."""

OWNED = ("ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet")
"""What a cluster owns, but its Secrets and pods."""

LABELS = "app.kubernetes.io/name=limnad"
SELECTORS = {**dict.fromkeys(OWNED, f"{LABELS},app.kubernetes.io/managed-by=limnad-operator"), "Pod": LABELS}
"""By kind, what of it is watched; of other kinds, all."""

WATCHED = (*KINDS, *OWNED, "Pod")


class Key(NamedTuple):
    """An object that is reconciled."""

    kind: str
    namespace: str
    name: str


@dataclass
class Cache:
    """Objects by kind, namespace and name.

    Attributes:
        forbidden: What the operator may not see, by kind and namespace, in sentences.
    """

    forbidden: dict[tuple[str, str], str] = field(default_factory=dict)
    _objects: dict[tuple[str, str], dict[str, Object]] = field(default_factory=dict)

    def complete(self, namespace: str) -> bool:
        """Whether all kinds have been listed, or may not be."""
        return all((kind, namespace) in self._objects or (kind, namespace) in self.forbidden for kind in WATCHED)

    def fill(self, kind: str, namespace: str, objects: Iterable[Object]) -> list[Object]:
        """What is there is this; returns all that are or were there."""
        before = self._objects.get((kind, namespace), {})
        now = {each["metadata"]["name"]: each for each in objects}
        self._objects[kind, namespace] = now
        self.forbidden.pop((kind, namespace), None)
        return [*now.values(), *(each for name, each in before.items() if name not in now)]

    def put(self, kind: str, object_: Object, *, deleted: bool = False) -> Object | None:
        """An object has changed; what was known of it."""
        metadata = object_["metadata"]
        held = self._objects.setdefault((kind, metadata["namespace"]), {})
        before = held.get(metadata["name"])
        if deleted:
            held.pop(metadata["name"], None)
        elif before is None or not _older(metadata, before["metadata"]):
            held[metadata["name"]] = object_
        return before

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object; None: there is none."""
        return self._objects.get((kind, namespace), {}).get(name)

    def all(self, kind: str, namespace: str) -> Iterator[Object]:
        """All of a kind."""
        return iter(list(self._objects.get((kind, namespace), {}).values()))

    def everywhere(self, kind: str) -> Iterator[Object]:
        """All of a kind, in all namespaces."""
        for (held, _), objects in list(self._objects.items()):
            if held == kind:
                yield from list(objects.values())

    def concerned(self, kind: str, object_: Object) -> list[Key]:
        """What is to be looked at when an object has changed."""
        metadata = object_["metadata"]
        namespace = metadata["namespace"]
        if kind == "LimnadCluster":
            keys = [Key(kind, namespace, metadata["name"])]
            return keys + [
                Key("LimnadJob", namespace, job["metadata"]["name"])
                for job in self.all("LimnadJob", namespace)
                if cluster_name(job) == metadata["name"]
            ]
        if kind == "LimnadJob":
            return [Key(kind, namespace, metadata["name"]), Key("LimnadCluster", namespace, cluster_name(object_))]
        if kind == "LimnadCheckpoint":
            return [Key(kind, namespace, metadata["name"])]
        cluster = (metadata.get("labels") or {}).get("app.kubernetes.io/instance")
        return [Key("LimnadCluster", namespace, cluster)] if cluster else []


def _older(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether news of an object come late: what was written here is known before the watch tells of it."""
    versions = str(new.get("resourceVersion", "")), str(old.get("resourceVersion", ""))
    return new.get("uid") == old.get("uid") and all(map(str.isdigit, versions)) and int(versions[0]) < int(versions[1])


def worth_a_look(kind: str, before: Object | None, after: Object) -> bool:
    """Whether a change is more than what was written here: a new status alone is not."""
    if before is None or kind not in KINDS:
        return before is None or before["metadata"].get("resourceVersion") != after["metadata"].get("resourceVersion")
    return _asked(before) != _asked(after)


def _asked(object_: Object) -> tuple[Any, ...]:
    metadata = object_["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        metadata.get("finalizers"),
        metadata.get("annotations"),
    )
