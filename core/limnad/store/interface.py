"""What a store is: a ledger of small records, a heap of immutable chunks, and logs (`logs`), for each job its own.

All interfaces are made so that **every call may be made twice**. A call whose answer was lost is simply repeated, and
the repetition finds out, within the store and atomically, whether the first one had its effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType, Protocol
from urllib.parse import quote, unquote

from blake3 import blake3

from limnad.histogram import Histogram

if TYPE_CHECKING:
    from limnad.store.logs import Log

Bytes = bytes | bytearray | memoryview
"""What may be put. It must not be changed before the call has returned."""

Version = NewType("Version", bytes)
"""Of a record: 16 random bytes that no other write, of that record or of another, ever has."""

ABSENT: Final = Version(b"")
"""The version of a record that is not there."""

MAX_CHUNK_BYTES: Final = 256 << 20
"""A Redis value ends at 512 MiB; a chunk is also the unit in which memory is taken."""

MAX_NAME_BYTES: Final = 240
"""Of a key or a job's name, as `escape` writes it: a file name ends at 255."""

_PLAIN: Final = re.compile(r"[a-z0-9_-]+")
_REF: Final = re.compile(r"([0-9a-f]{64})\.(0|[1-9][0-9]{0,9})")


@dataclass(frozen=True, slots=True)
class Record:
    """What a ledger holds under a key.

    Attributes:
        value: The bytes that were put.
        version: Says which write put them.
    """

    value: bytes
    version: Version


@dataclass(frozen=True, slots=True)
class Guard:
    """A record in whose name something is deleted: only if that is as it was, compared in the same atomic step.

    Whoever deletes may be stopped for hours and then go on: by then, what it wants to delete may be that of somebody
    else who has the same name. Whoever takes over from it changes the record first.

    Attributes:
        key: Of the record, in the ledger of the same space.
        version: As it was.
    """

    key: str
    version: Version


@dataclass(frozen=True, slots=True, order=True)
class ChunkRef:
    """The name of a chunk, made from nothing but its content.

    Attributes:
        digest: BLAKE3 of the content, in hexadecimal digits.
        size: Bytes of the content.
    """

    digest: str
    size: int

    @classmethod
    def of(cls, data: Bytes) -> ChunkRef:
        """The name of this content.

        >>> ChunkRef.of(b"").size, ChunkRef.of(b"a") == ChunkRef.of(bytearray(b"a"))
        (0, True)

        Raises:
            ValueError: It is larger than `MAX_CHUNK_BYTES`.
        """
        view = memoryview(data).cast("B")
        size = view.nbytes
        if size > MAX_CHUNK_BYTES:
            raise ValueError(f"a chunk has at most {MAX_CHUNK_BYTES:,} bytes, not {size:,}: cut it")
        return cls(blake3(view).hexdigest(), size)

    @classmethod
    def parse(cls, text: str) -> ChunkRef:
        """Law: `ChunkRef.parse(str(ref)) == ref`.

        Raises:
            ValueError: This is no chunk's name.
        """
        match = _REF.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not the name of a chunk: 64 hexadecimal digits, a dot, and its size")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.digest}.{self.size}"


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether what a store has acknowledged survives a crash of its machine.

    Attributes:
        sure: Whether `Ledger.put` with ``durable=True`` can promise it.
        reason: Why, or why not and what to configure; a sentence for people.
    """

    sure: bool
    reason: str


class Ledger(Protocol):
    """Small records with compare-and-set. Each call is atomic, and all callers see one order of them."""

    def get(self, key: str) -> Record | None:
        """The record, or None."""

    def put(self, key: str, value: Bytes, expected: Version, *, durable: bool = False) -> Version:
        """Replaces the record of version ``expected``, or makes it if that is `ABSENT`.

        Laws: of all puts that expect the same version at most one succeeds. After a return the record was ours. If the
        answer of the store was lost, the version that this write carries tells, on repeating, whether it was done.

        Args:
            key: Any text of some 80 characters; see `check_name`.
            value: The bytes.
            expected: The version that the caller has read.
            durable: Return only when this and all that was acknowledged before would survive a crash of the machine.

        Raises:
            Conflict: The record has another version. (After an answer was lost: ours may have been there for a moment,
                and is replaced.)
            Unsafe: ``durable`` was asked for, but the store cannot promise it.
            Unavailable: The outcome is unknown: read before believing either.
        """

    def delete(self, key: str, expected: Version, *, guard: Guard | None = None) -> None:
        """Law: after it, the record of version ``expected`` is not there. It need not have been.

        Raises:
            Conflict: The record has another version, or the guard's has, and stays.
        """

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that begin so, sorted."""


class Chunks(Protocol):
    """Immutable bytes under names made from their content.

    **Marks** make sharing safe against a deletion at the same time. Each chunk carries the highest mark of all that
    wanted it: a mark is the number of a checkpoint that is being written (see `limnad.store.checkpoints`). A deletion
    says below which mark it may delete. Putting or touching raises the mark *before* it looks whether the chunk is
    there, and a deletion compares the mark in the same atomic step in which it deletes. So, whatever the order:

    - mark first: the deletion sees a mark that it must not touch, and leaves the chunk;
    - deletion first: the chunk is not there when the put looks, and it writes it anew.
    """

    def put(self, data: Bytes, *, mark: int) -> ChunkRef:
        """`put_many` of one."""

    def put_many(self, datas: Iterable[Bytes], *, mark: int) -> list[ChunkRef]:
        """Puts chunks and returns their names in the same order.

        Laws: what is there already is not written, only marked. Memory is bounded however many there are. If it fails,
        some chunks may be there and none is there by half.
        """

    def touch(self, refs: Iterable[ChunkRef], *, mark: int) -> AbstractSet[ChunkRef]:
        """Those that are there. From now on no deletion below the mark takes them: so chunks are used once more."""

    def get(self, ref: ChunkRef) -> bytes:
        """`get_many` of one."""

    def get_many(self, refs: Iterable[ChunkRef]) -> Iterator[bytes]:
        """The contents in the order of the names, in bounded memory.

        Law: what is returned has the digest and the size that its name says.

        Raises:
            ChunkMissing: There is none of this name.
            ChunkCorrupt: What is there is not what was put.
        """

    def has(self, refs: Iterable[ChunkRef]) -> AbstractSet[ChunkRef]:
        """Those that are there; a moment later they may be gone, unless they are marked or leased."""

    def delete(self, refs: Iterable[ChunkRef], *, below: int | None = None, guard: Guard | None = None) -> int:
        """Deletes those whose mark is lower than ``below``, by default all; returns how many there were.

        Raises:
            Conflict: The guard's record has another version: from then on nothing more is deleted.
        """

    def refs(self) -> AbstractSet[ChunkRef]:
        """All that are there, and perhaps some that a put which failed had announced."""


class Space(Protocol):
    """A ledger, a heap of chunks, and logs that belong together."""

    @property
    def where(self) -> str:
        """For people: in which store, and for which job; never a password."""

    @property
    def ledger(self) -> Ledger:
        """Records."""

    @property
    def chunks(self) -> Chunks:
        """Chunks."""

    def log(self, name: str) -> Log:
        """A log. It comes into being with its first claim or append."""

    def logs(self) -> list[str]:
        """The names of the logs that have come into being and were not deleted, sorted."""


class Store(Space, Protocol):
    """A place for checkpoints and records. What is not under a job belongs to the store itself."""

    @property
    def durability(self) -> Durability:
        """What this store, as it is configured now, can promise."""

    def job(self, name: str) -> Space:
        """A job's own space. It comes into being with its first write."""

    def jobs(self) -> list[str]:
        """The jobs that have ever written something, sorted."""

    def describe(self) -> str:
        """The address without password."""

    @property
    def requests(self) -> Histogram:
        """How long each request to its server took, one that failed included; empty where there is no server."""

    def close(self) -> None:
        """Gives up connections and locks; may be called twice."""


def check_name(what: str, name: str) -> str:
    """Refuses what cannot be a key or the name of a job in every kind of store, and gives back the escaped form.

    >>> check_name("key", "checkpoint/12")
    'checkpoint%2f12'

    Raises:
        ValueError: It is empty, too long, or no Unicode text.
    """
    try:
        escaped = escape(name)
    except UnicodeEncodeError:
        raise ValueError(f"a {what} is Unicode text, which {name!r} is not") from None
    if not 0 < len(escaped) <= MAX_NAME_BYTES:
        raise ValueError(
            f"a {what} has 1 to {MAX_NAME_BYTES} characters, each that is not a-z, 0-9, '-' or '_' counted as three "
            f"or more: {name[:40]!r} counts {len(escaped)}"
        )
    return escaped


def escape(name: str) -> str:
    """A name of a-z, 0-9, ``-``, ``_`` and ``%``: safe as a file name, also where case is ignored, and in a key.

    Law: `unescape(escape(name)) == name`.

    >>> escape("../Etc {x}")
    '%2e%2e%2f%45tc%20%7bx%7d'
    """
    if _PLAIN.fullmatch(name):
        return name
    parts = (char if _PLAIN.fullmatch(char) else _percent(char) for char in name)
    return "".join(parts)


def unescape(name: str) -> str:
    """The name that was escaped."""
    return unquote(name, errors="strict")


def _percent(char: str) -> str:
    quoted = quote(char, safe="")
    return quoted.lower() if quoted != char else f"%{ord(char):02x}"
