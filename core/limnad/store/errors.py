"""What can go wrong with a store, by what the caller has to do about it.

ClusterError (limnad.errors)
└── StoreError          something is wrong with the store; the root of this tree
    ├── BadUrl          the store's address cannot be understood
    ├── Unsafe          the store is configured so that it could lose what it was given
    ├── Unavailable     it did not answer in time; the same call may be made again
    ├── Full            there is no room left
    ├── Conflict        somebody else was faster, or has taken over
    ├── Gap             a number was skipped: what lies between is missing
    ├── LostState       the store is behind what was already seen of it, or is another one
    ├── ChunkMissing    a chunk is not there
    └── ChunkCorrupt    a chunk is there, but is not what was put
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limnad.errors import ClusterError

if TYPE_CHECKING:
    from limnad.store.interface import ChunkRef


class StoreError(ClusterError):
    """Something is wrong with a store."""


class BadUrl(StoreError, ValueError):
    """The address of a store cannot be understood."""


class Unsafe(StoreError):
    """The store is configured so that it could lose what it was given."""


class Unavailable(StoreError):
    """The store did not answer in time. Whether the call had its effect is unknown; it may be made again."""


class Full(StoreError):
    """There is no room left. Nothing was half-written; deleting still works."""


class Conflict(StoreError):
    """Somebody else has changed the record, or has taken over the work: read again, and decide anew."""

    @classmethod
    def at(cls, key: str, where: str) -> Conflict:
        """A record has another version than was expected."""
        return cls(f"{where}: somebody else changed {key!r} since it was read. Read it again and decide anew")


class Gap(StoreError):
    """A producer has skipped a number: what lies between was never appended."""


class LostState(StoreError):
    """The store is behind what was already seen of it, or is another one than before: never go on silently."""


class ChunkMissing(StoreError):
    """A chunk is not in the store.

    Attributes:
        ref: Which one.
    """

    def __init__(self, ref: ChunkRef, where: str) -> None:
        super().__init__(
            f"{where} has no chunk {ref}: it was deleted, or the store lost what it had. Restore from another "
            "checkpoint, and look into whether something else cleans up there"
        )
        self.ref = ref


class ChunkCorrupt(StoreError):
    """A chunk's bytes are not those that were put.

    Attributes:
        ref: Which one.
    """

    def __init__(self, ref: ChunkRef, where: str, what: str) -> None:
        super().__init__(
            f"chunk {ref} in {where} is damaged ({what}): check the disk or the server. Restore from another "
            "checkpoint, and delete the chunk so that its content can be put anew"
        )
        self.ref = ref
