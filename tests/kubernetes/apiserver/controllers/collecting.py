"""Garbage: what belongs to an owner that is gone, to a namespace or to a definition that is to go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tests.kubernetes.apiserver import crds
from tests.kubernetes.apiserver.api import FOREGROUND, ORPHAN, Api
from tests.kubernetes.apiserver.controllers.controller import Controller, Key
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of, namespace_of
from tests.kubernetes.apiserver.requests import Options
from tests.kubernetes.apiserver.store import Change, Kind

NAMESPACES: Final = ("", "namespaces")


def _owners(item: Object) -> list[Object]:
    return list(dig(item, "metadata", "ownerReferences", default=[]))


class Collector(Controller):
    """Deletes what no owner is left of, and lets owners go that wait for that; a key is the UID of an owner."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._alive: dict[str, tuple[Kind, Key]] = {}
        self._dependents: dict[str, dict[tuple[Kind, Key], None]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """The owner itself, and the owners of what has changed."""
        item, place = change.item, (namespace_of(change.item), name_of(change.item))
        uid = item["metadata"]["uid"]
        if change.type == "DELETED":
            self._alive.pop(uid, None)
        else:
            self._alive[uid] = (change.kind, place)
        for reference in _owners(item):
            known = self._dependents.setdefault(reference["uid"], {})
            if change.type == "DELETED":
                known.pop((change.kind, place), None)
            else:
                known[change.kind, place] = None
        return [(uid, ""), *((reference["uid"], "") for reference in _owners(item))]

    def look(self, namespace: str, name: str) -> None:
        """At one owner, by its UID."""
        uid = namespace
        owner = self._owner(uid)
        if owner is None:
            for kind, item in list(self._of(uid)):
                self._bereave(kind, item)
        elif owner[1]["metadata"].get("deletionTimestamp"):
            self._part(uid, *owner)

    def _owner(self, uid: str) -> tuple[Kind, Object] | None:
        if uid not in self._alive:
            return None
        kind, place = self._alive[uid]
        item = self.find(kind, *place)
        return (kind, item) if item is not None and item["metadata"]["uid"] == uid else None

    def _of(self, uid: str) -> Iterator[tuple[Kind, Object]]:
        for kind, place in list(self._dependents.get(uid, {})):
            item = self.find(kind, *place)
            if item is not None and any(reference["uid"] == uid for reference in _owners(item)):
                yield kind, item

    def _bereave(self, kind: Kind, item: Object) -> None:
        """An owner is gone: without any other the object goes too, else it forgets that one."""
        left = [reference for reference in _owners(item) if self._owner(reference["uid"]) is not None]
        if not left:
            if not item["metadata"].get("deletionTimestamp"):
                self._delete(kind, item, "Background")
        elif left != _owners(item):
            self._write_owners(kind, item, left)

    def _part(self, uid: str, kind: Kind, owner: Object) -> None:
        """An owner is to go: by its finalizers first its dependents do, or are let go."""
        finalizers = owner["metadata"].get("finalizers") or []
        dependents = list(self._of(uid))
        if ORPHAN in finalizers:
            for each_kind, each in dependents:
                self._write_owners(each_kind, each, [one for one in _owners(each) if one["uid"] != uid])
            self._release(kind, owner, ORPHAN)
        elif FOREGROUND in finalizers:
            for each_kind, each in dependents:
                if not each["metadata"].get("deletionTimestamp"):
                    self._delete(each_kind, each, "Foreground")
            blocked = any(
                reference["uid"] == uid and reference.get("blockOwnerDeletion")
                for _, each in self._of(uid)
                for reference in _owners(each)
            )
            if not blocked:
                self._release(kind, owner, FOREGROUND)

    def _delete(self, kind: Kind, item: Object, propagation: str) -> None:
        options = Options(propagation=propagation, uid=item["metadata"]["uid"])
        self.api.delete(self.resource(kind), namespace_of(item), name_of(item), options)

    def _release(self, kind: Kind, owner: Object, finalizer: str) -> None:
        new = copied(owner)
        new["metadata"]["finalizers"] = [each for each in owner["metadata"]["finalizers"] if each != finalizer]
        self.api.update(self.resource(kind), namespace_of(owner), name_of(owner), new)

    def _write_owners(self, kind: Kind, item: Object, references: list[Object]) -> None:
        new = copied(item)
        new["metadata"]["ownerReferences"] = references
        self.api.update(self.resource(kind), namespace_of(item), name_of(item), new)


class Namespaces(Controller):
    """Empties namespaces that are to go; gives new ones what every namespace has."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A namespace, and that of whatever goes."""
        if change.kind == NAMESPACES:
            return [("", name_of(change.item))]
        return [("", namespace_of(change.item))] if change.type == "DELETED" and namespace_of(change.item) else []

    def look(self, namespace: str, name: str) -> None:
        """At one namespace."""
        item = self.find(NAMESPACES, "", name)
        if item is None:
            return
        if not item["metadata"].get("deletionTimestamp"):
            self._furnish(name)
            return
        if dig(item, "status", "phase") != "Terminating":
            self.write_status(NAMESPACES, item, {**item.get("status", {}), "phase": "Terminating"})
        left = False
        for kind in self.api.store.kinds():
            for each in list(self.api.store.items(kind, name)):
                left = True
                if not each["metadata"].get("deletionTimestamp"):
                    self.api.delete(self.resource(kind), name, name_of(each), Options(propagation="Background"))
        item = self.find(NAMESPACES, "", name)
        if not left and item is not None and item["spec"].get("finalizers"):
            emptied = copied(item)
            emptied["spec"]["finalizers"] = []
            self.api.update(self.resource(NAMESPACES), "", name, emptied)
        elif left:
            self.look_later(("", name), 0.05)

    def _furnish(self, name: str) -> None:
        if self.find(("", "serviceaccounts"), name, "default") is None:
            account = {"metadata": {"name": "default"}}
            self.api.create(self.resource(("", "serviceaccounts")), name, account)


class Definitions(Controller):
    """Takes the objects of a kind away whose definition is to go."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A definition, and that of whatever goes."""
        if change.kind == crds.KEY:
            return [("", name_of(change.item))]
        return [("", f"{change.kind[1]}.{change.kind[0]}")] if change.type == "DELETED" else []

    def look(self, namespace: str, name: str) -> None:
        """At one definition."""
        item = self.find(crds.KEY, "", name)
        if item is None or not item["metadata"].get("deletionTimestamp"):
            return
        kind = item["spec"]["group"], item["spec"]["names"]["plural"]
        for each in list(self.api.store.items(kind)):
            if not each["metadata"].get("deletionTimestamp"):
                self.api.delete(self.resource(kind), namespace_of(each), name_of(each))
        if not any(self.api.store.items(kind)) and crds.CLEANUP in item["metadata"].get("finalizers", []):
            free = copied(item)
            free["metadata"]["finalizers"] = [each for each in item["metadata"]["finalizers"] if each != crds.CLEANUP]
            self.api.update(self.resource(crds.KEY), "", name, free)
