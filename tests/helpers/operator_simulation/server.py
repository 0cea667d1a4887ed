"""The API server: objects with versions, and all that ever happened to them, for watches.

What is told here is told as JSON, so nobody shares anything with it.
"""

from __future__ import annotations

import asyncio
import bisect
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from limnad_operator.api import ApiError
from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.telling import timestamp

NAMESPACE = "ns"
START_S = 1_750_000_000
POD_GRACE_S = 5


def plain(object_: Object) -> Object:
    """A copy, as it comes over a wire."""
    copied: Object = json.loads(json.dumps(object_))
    return copied


@dataclass(frozen=True)
class Happened:
    """One entry of a kind's history."""

    version: int
    at_s: float
    type: str
    object: Object


@dataclass
class Server:
    """See the module. Nothing here takes time: when a request arrives it is done.

    Attributes:
        loop: Whose time it is.
        objects: By kind and name.
        history: By kind; what is older than `forgotten` is not told any more.
        watchers: Who is told of changes here and now: controllers and checks, with what was there before.
        down: Whether nobody gets through to it.
    """

    loop: asyncio.AbstractEventLoop
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    history: dict[str, list[Happened]] = field(default_factory=dict)
    forgotten: int = 0
    version: int = 100
    watchers: list[Callable[[Object | None, Object | None], None]] = field(default_factory=list)
    down: bool = False
    _count: int = 0
    _news: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def wall_s(self) -> float:
        """Unix time."""
        return START_S + self.loop.time()

    # -- reading -------------------------------------------------------------------------------------------------------

    def all(self, kind: str) -> list[Object]:
        """All of a kind, by name. They are the server's own: not to be changed."""
        return [each for (held, _), each in sorted(self.objects.items()) if held == kind]

    def there(self, kind: str, name: str) -> Object | None:
        """One, if it is there; the server's own."""
        return self.objects.get((kind, name))

    def get(self, kind: str, name: str) -> Object | None:
        """One, if it is there."""
        found = self.objects.get((kind, name))
        return None if found is None else plain(found)

    def listed(self, kind: str, selector: str) -> tuple[tuple[Object, ...], str]:
        """All of a kind that a selector selects, and as of which version."""
        return tuple(plain(each) for each in self.all(kind) if selected(each, selector)), str(self.version)

    def since(self, kind: str, version: int) -> list[Happened]:
        """What has happened.

        Raises:
            ApiError: Of status 410: that is forgotten.
        """
        if version < self.forgotten:
            raise ApiError(410, "too old resource version")
        events = self.history.get(kind, [])
        return events[bisect.bisect_right(events, version, key=lambda each: each.version) :]

    def forget(self) -> None:
        """The history is compacted."""
        self.forgotten = self.version

    def news(self, kind: str) -> asyncio.Event:
        """Set when something has happened to a kind; whoever waits asks anew each time."""
        return self._news.setdefault(kind, asyncio.Event())

    # -- writing -------------------------------------------------------------------------------------------------------

    def create(self, manifest: Object) -> Object:
        """Makes an object.

        Raises:
            ApiError: 409: there is one; 400: it bears a version.
        """
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            raise ApiError(409, f"{key} is there already")
        if manifest["metadata"].get("resourceVersion"):
            raise ApiError(400, "resourceVersion should not be set on objects to be created")
        new = plain(manifest)
        self._count += 1
        new["metadata"] |= {"uid": f"{self._count:08d}-{key[1]}", "generation": 1}
        new["metadata"]["creationTimestamp"] = timestamp(self.wall_s)
        new.pop("status", None)
        return self._put("ADDED", None, new)

    def replace(self, manifest: Object, *, status: bool = False) -> Object:
        """Writes an object, or its status.

        Raises:
            ApiError: 404, 409; 422: a finalizer comes too late.
        """
        key = (manifest["kind"], manifest["metadata"]["name"])
        there = self.objects.get(key)
        if there is None:
            raise ApiError(404, f"{key} is not found")
        given, held = manifest["metadata"], there["metadata"]
        if given.get("resourceVersion", held["resourceVersion"]) != held["resourceVersion"]:
            raise ApiError(409, f"{key} has changed")
        if given.get("uid", held["uid"]) != held["uid"]:
            raise ApiError(409, f"{key} is another one")
        new = {**plain(there), "status": plain(manifest)["status"]} if status else _rewritten(there, plain(manifest))
        if new == there:
            return plain(there)
        return self._put("MODIFIED", there, new)

    def delete(self, kind: str, name: str, uid: str = "", grace_s: int | None = None) -> None:
        """Deletes an object.

        Raises:
            ApiError: 404, 409: it is another one.
        """
        there = self.objects.get((kind, name))
        if there is None:
            raise ApiError(404, f"{kind} {name} is not found")
        if uid and uid != there["metadata"]["uid"]:
            raise ApiError(409, f"{kind} {name} is another one")
        if kind == "Pod" and grace_s is None:
            grace_s = POD_GRACE_S
        if not there["metadata"].get("finalizers") and not grace_s:
            self._remove(there)
        elif "deletionTimestamp" not in there["metadata"]:
            new = plain(there)
            new["metadata"]["deletionTimestamp"] = timestamp(self.wall_s + (grace_s or 0))
            new["metadata"]["generation"] += 1
            self._put("MODIFIED", there, new)

    def edit(self, kind: str, name: str, change: Callable[[Object], None]) -> None:
        """Somebody changes an object in its place, whoever else does."""
        new = plain(self.objects[kind, name])
        change(new)
        self.replace(new)

    def set_status(self, kind: str, name: str, status: Object) -> None:
        """A controller says how something is."""
        self.replace({**plain(self.objects[kind, name]), "status": status}, status=True)

    def _put(self, type_: str, before: Object | None, new: Object) -> Object:
        metadata = new["metadata"]
        if before is not None and metadata.get("deletionTimestamp") and _held_by_finalizers(before, new):
            self._remove(new)
            return plain(new)
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self.objects[new["kind"], metadata["name"]] = new
        self._happened(type_, before, new)
        return plain(new)

    def _remove(self, object_: Object) -> None:
        before = self.objects.pop((object_["kind"], object_["metadata"]["name"]))
        self.version += 1
        gone = plain(object_)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._happened("DELETED", before, gone)

    def _happened(self, type_: str, before: Object | None, new: Object) -> None:
        kind = new["kind"]
        if kind not in ("Event", "Lease", "Secret"):
            self.history.setdefault(kind, []).append(Happened(self.version, self.loop.time(), type_, new))
            self._news.pop(kind, asyncio.Event()).set()
        for each in self.watchers:
            each(before, None if type_ == "DELETED" else new)


def selected(object_: Object, selector: str) -> bool:
    """Whether an object has all labels that are asked for."""
    labels = object_["metadata"].get("labels") or {}
    return all(
        labels.get(part.partition("=")[0]) == part.partition("=")[2] for part in filter(None, selector.split(","))
    )


def _rewritten(there: Object, new: Object) -> Object:
    """What a write makes of an object: what is the server's own stays."""
    held, metadata = there["metadata"], new["metadata"]
    for key in ("uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion"):
        metadata.pop(key, None)
        if key in held:
            metadata[key] = held[key]
    if "deletionTimestamp" in held and set(metadata.get("finalizers") or ()) - set(held.get("finalizers") or ()):
        raise ApiError(422, "no new finalizers can be added if the object is being deleted")
    if not metadata.get("finalizers"):
        metadata.pop("finalizers", None)
    new.pop("status", None)
    if "status" in there:
        new["status"] = plain(there["status"])
    if new.get("spec") != there.get("spec"):
        metadata["generation"] += 1
    return new


def _held_by_finalizers(before: Object, new: Object) -> bool:
    """Whether the last finalizer has just gone."""
    return bool(before["metadata"].get("finalizers")) and not new["metadata"].get("finalizers")
