"""What there is, and what has happened: objects by kind and name, and a log of their changes.

One revision counts all writes. Nothing here knows HTTP, schemas or who may do what; an object that is handed out is not
to be changed by whoever gets it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.kubernetes.apiserver.errors import expired
from tests.kubernetes.apiserver.objects import Object, name_of, namespace_of

REMEMBERED = 20_000
"""Changes that the log holds; a watch from before them is told to list anew."""

Kind = tuple[str, str]
"""Group and plural: the same objects under every version."""

Place = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write.

    Attributes:
        revision: Its number.
        kind: Of the object.
        type: ADDED, MODIFIED or DELETED.
        item: The object after it; deleted: as it was last, with this revision.
        before: The object before it.
    """

    revision: int
    kind: Kind
    type: str
    item: Object
    before: Object | None


class Store:
    """Objects and their changes."""

    def __init__(self) -> None:
        self.revision = 1
        self._items: dict[Kind, dict[Place, Object]] = {}
        self._log: deque[Change] = deque()
        self._forgotten = 0
        self._listeners: list[Callable[[Change], None]] = []

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._items.get(kind, {}).get((namespace, name))

    def items(self, kind: Kind, namespace: str = "") -> Iterator[Object]:
        """Those of a kind, of one namespace or of all, by namespace and name."""
        for place, item in sorted(self._items.get(kind, {}).items()):
            if not namespace or place[0] == namespace:
                yield item

    def kinds(self) -> list[Kind]:
        """Those that there are objects of."""
        return [kind for kind, items in self._items.items() if items]

    def put(self, kind: Kind, item: Object) -> Object:
        """Writes an object, which gets the next revision."""
        self.revision += 1
        item["metadata"]["resourceVersion"] = str(self.revision)
        items = self._items.setdefault(kind, {})
        place = namespace_of(item), name_of(item)
        before = items.get(place)
        items[place] = item
        self._tell(Change(self.revision, kind, "MODIFIED" if before else "ADDED", item, before))
        return item

    def remove(self, kind: Kind, item: Object) -> Object:
        """Takes an object away; it is handed back with the revision of its end."""
        self.revision += 1
        before = self._items[kind].pop((namespace_of(item), name_of(item)))
        last = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.revision)}}
        self._tell(Change(self.revision, kind, "DELETED", last, before))
        return last

    def since(self, revision: int, kind: Kind) -> list[Change]:
        """What has happened to a kind after a revision.

        Raises:
            ApiError: That has been forgotten (410).
        """
        if revision < self._forgotten:
            raise expired()
        return [change for change in self._log if change.revision > revision and change.kind == kind]

    def forget(self) -> None:
        """Forgets all changes: whoever watches from an older revision is told to list anew."""
        self._log.clear()
        self._forgotten = self.revision

    def is_forgotten(self, revision: int) -> bool:
        """Whether a list that goes on from this revision has to begin anew."""
        return revision < self._forgotten

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls for each change from now on; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, change: Change) -> None:
        self._log.append(change)
        if len(self._log) > REMEMBERED:
            self._forgotten = self._log.popleft().revision
        for listener in list(self._listeners):
            listener(change)
