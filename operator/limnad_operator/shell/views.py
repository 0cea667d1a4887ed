"""What is known of the API server's objects: lists that watches keep current, and who is concerned by a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from limnad_operator.api import Listed
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

    News of an object come in any order: from the watch, and from the answers to what was written here. The newest
    counts, by its resource version; and what is not newer than what lists and watches have told of already is no news,
    be it of an object that was deleted meanwhile.

    Attributes:
        forbidden: What the operator may not see, by kind and namespace, in sentences.
    """

    forbidden: dict[tuple[str, str], str] = field(default_factory=dict)
    _objects: dict[tuple[str, str], dict[str, Object]] = field(default_factory=dict)
    _as_of: dict[tuple[str, str], str] = field(default_factory=dict)

    def complete(self, namespace: str) -> bool:
        """Whether all kinds have been listed, or may not be."""
        return all((kind, namespace) in self._objects or (kind, namespace) in self.forbidden for kind in WATCHED)

    def fill(self, kind: str, namespace: str, listed: Listed) -> list[Object]:
        """What is there is this; returns all that are or were there. One that is behind what is known has no news."""
        if _at_most(listed.version, self._as_of.get((kind, namespace), "")):
            return []
        before = self._objects.get((kind, namespace), {})
        self._objects[kind, namespace] = now = dict(before)
        for each in listed.items:
            self._put(kind, each)
        there = {each["metadata"]["name"] for each in listed.items}
        for name, each in before.items():
            if name not in there and not _older(listed.version, each):
                del now[name]
        self.forbidden.pop((kind, namespace), None)
        self._as_of[kind, namespace] = listed.version
        return [*now.values(), *(each for name, each in before.items() if name not in now)]

    def put(self, kind: str, object_: Object, *, deleted: bool = False) -> Object | None:
        """The watch tells of a change; what was known of the object. A watch that is behind a list has no news."""
        metadata = object_["metadata"]
        version, where = metadata["resourceVersion"], (kind, metadata["namespace"])
        if _at_most(version, self._as_of.get(where, "")):
            return self.get(*where, metadata["name"])
        self._as_of[where] = version
        return self._put(kind, object_, deleted=deleted)

    def _put(self, kind: str, object_: Object, *, deleted: bool = False) -> Object | None:
        metadata = object_["metadata"]
        held = self._objects.setdefault((kind, metadata["namespace"]), {})
        before = held.get(metadata["name"])
        if before is not None and _older(metadata["resourceVersion"], before):
            return before
        if deleted:
            held.pop(metadata["name"], None)
        else:
            held[metadata["name"]] = object_
        return before

    def learn(self, kind: str, object_: Object) -> None:
        """What was written here: known before the watch tells of it, or when it has told of its deletion already."""
        metadata = object_["metadata"]
        if not _at_most(metadata["resourceVersion"], self._as_of.get((kind, metadata["namespace"]), "")):
            self._put(kind, object_)

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


def _older(version: str, than: Object) -> bool:
    """Whether a resource version is an older one than an object's; of those that are no numbers nobody knows."""
    other = str(than["metadata"]["resourceVersion"])
    return version.isdigit() and other.isdigit() and int(version) < int(other)


def _at_most(version: str, other: str) -> bool:
    """Whether a resource version is not newer than another one; of those that are no numbers nobody knows."""
    return version.isdigit() and other.isdigit() and int(version) <= int(other)


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
