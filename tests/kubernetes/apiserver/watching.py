"""Watches: what has happened since a revision, and then what happens, as one stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Final

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.objects import Object, copied, namespace_of
from tests.kubernetes.apiserver.resources import Resource
from tests.kubernetes.apiserver.selectors import Matches
from tests.kubernetes.apiserver.store import Change

INITIAL_END: Final = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be watched.

    Attributes:
        revision: After which; 0: what there is first, as if it had just been added.
        initial: What there is first, and then a bookmark that says that this was all.
        bookmarks: Now and then only the revision is told.
        bookmark_s: How often.
        timeout_s: The stream ends after it.
    """

    resource: Resource
    namespace: str
    matches: Matches
    revision: int
    initial: bool
    bookmarks: bool
    bookmark_s: float
    timeout_s: float


async def watch(api: Api, wish: Wish) -> AsyncGenerator[Object, None]:
    """The events.

    Raises:
        ApiError: What has happened since then is forgotten (410).
    """
    changes: asyncio.Queue[Change] = asyncio.Queue()
    stop = api.store.listen(changes.put_nowait)
    try:
        seen = api.store.revision
        if wish.initial or wish.revision == 0:
            for first in _initial(api, wish, seen):
                yield first
        else:
            for change in api.store.since(wish.revision, wish.resource.key):
                if event := _event(wish, change):
                    yield event
        async for event in _live(api, wish, changes):
            yield event
    finally:
        stop()


def _initial(api: Api, wish: Wish, revision: int) -> Iterator[Object]:
    for item in list(api.store.items(wish.resource.key, wish.namespace)):
        if wish.matches(item):
            yield {"type": "ADDED", "object": _shown(wish, item)}
    if wish.initial and wish.bookmarks:
        bookmark = _bookmark(wish, revision)
        bookmark["object"]["metadata"]["annotations"] = {INITIAL_END: "true"}
        yield bookmark


async def _live(api: Api, wish: Wish, changes: asyncio.Queue[Change]) -> AsyncGenerator[Object, None]:
    loop = asyncio.get_running_loop()
    end = loop.time() + wish.timeout_s
    bookmark_at = loop.time() + wish.bookmark_s if wish.bookmarks else end
    while (left := end - loop.time()) > 0:
        try:
            async with asyncio.timeout(max(0.0, min(left, bookmark_at - loop.time()))):
                change = await changes.get()
        except TimeoutError:
            if wish.bookmarks:
                yield _bookmark(wish, api.store.revision)
                bookmark_at = loop.time() + wish.bookmark_s
            continue
        if event := _event(wish, change):
            yield event


def _event(wish: Wish, change: Change) -> Object | None:
    """A change as whoever watches sees it: what no longer matches is gone for them."""
    if change.kind != wish.resource.key or (wish.namespace and namespace_of(change.item) != wish.namespace):
        return None
    is_in = change.type != "DELETED" and wish.matches(change.item)
    was_in = change.before is not None and wish.matches(change.before)
    if not is_in and not was_in:
        return None
    kind = "DELETED" if not is_in else "MODIFIED" if was_in else "ADDED"
    return {"type": kind, "object": _shown(wish, change.item)}


def _shown(wish: Wish, item: Object) -> Object:
    return {**copied(item), "apiVersion": wish.resource.api_version}


def _bookmark(wish: Wish, revision: int) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    return {
        "type": "BOOKMARK",
        "object": {"kind": wish.resource.kind, "apiVersion": wish.resource.api_version, "metadata": metadata},
    }
