"""Deleting a job with all that is known of it, so that its name can be had by another one.

Whoever erases may die or be stopped in the middle; another one finishes it, the name is given again, and then the first
one goes on. So all is deleted in the name of a record of the job's own (a `Guard`), which each who begins replaces by
one of its own, and which is deleted last. Who is no more the last one to have begun deletes nothing any more.

That alone does not help who is stopped before it begins. Where somebody else may have been told to do the same, first
`begin_erasing`, then find out that it is still one's own to do, then `erase`.
"""

from __future__ import annotations

from typing import Final

from limnad.store.interface import ABSENT, Guard, Space

ERASING: Final = "erasing"
"""The key of that record."""


def begin_erasing(space: Space) -> Guard:
    """From now on who has begun before deletes nothing any more. Nothing is deleted yet.

    Raises:
        Conflict: Somebody else begins at this moment.
    """
    held = space.ledger.get(ERASING)
    version = space.ledger.put(ERASING, b"", held.version if held is not None else ABSENT)
    return Guard(ERASING, version)


def erase(space: Space, guard: Guard) -> int:
    """Deletes all that a space holds; returns how many chunks there were.

    Args:
        space: The job's.
        guard: See `begin_erasing`.

    Raises:
        Conflict: Somebody else has begun to do so meanwhile, or has done so.
        StoreError: Some of it may be there still.
    """
    ledger = space.ledger
    for key in ledger.keys(""):
        record = ledger.get(key) if key != guard.key else None
        if record is not None:
            ledger.delete(key, record.version, guard=guard)
    count = space.chunks.delete(space.chunks.refs(), guard=guard)
    for name in space.logs():
        space.log(name).delete(guard=guard)
    ledger.delete(guard.key, guard.version, guard=guard)
    return count
