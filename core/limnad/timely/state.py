"""What a vertex remembers, declared so that a checkpoint can take it and a restore can give it back.

A vertex keeps its state in attributes of these types, made in its ``__init__``; the engine finds them there:

- `TimedBatches`: the batches of each time that is not complete yet,
- `KeyedState`: a value for each key, across times,
- `limnad.timely.frame_state.FrameState`: rows by key, across times, as frames.

A checkpoint *captures* a state while the worker stands still, and that takes references only; the capture is turned
into `Piece`s, batches that can be stored, while the job runs on. So what a state holds must never be changed in place:
put a new value instead.

**Who gets what after a rescale.** Rows belong to key groups, and key groups to workers (`limnad.batch.partition`). A
stage with state by key takes its input through a connector that is partitioned by that key; so the key groups that a
worker owns are those whose rows it will get.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from limnad.batch import KEY_GROUPS, hash_records, key_group, owners, size_bytes, with_one_nan
from limnad.errors import JobError
from limnad.timely.timestamp import Timestamp

K = TypeVar("K")
V = TypeVar("V")

SAMPLED_ITEMS = 16
"""As many of the oldest and of the newest values tell how large a value is."""

ITEM_BYTES = 200
"""What a key takes beside itself and its value, in the tables that find it."""

ITEMS_PER_BLOCK = 1024
"""A block of fewer records costs more to name than to write again."""

NOTED_KEYS = 4096
"""Up to so many changed keys are noted, however few there are left: it is little to write."""


class StateError(JobError):
    """A state was declared wrongly, or cannot be restored."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a state as a checkpoint stores it.

    Attributes:
        batch: Its content, a frame or a list of records; None: as at the last checkpoint that was committed.
        groups: The key groups it holds, first and behind the last; None for what is not stored by key group.
        port: The input port whose connector says who gets the rows after a rescale; for `TimedBatches`.
        time: The time of the rows, likewise.
        run: Tells pieces of the same key groups apart; for `limnad.timely.frame_state.FrameState`.
    """

    batch: Any
    groups: tuple[int, int] | None = None
    port: int | None = None
    time: Timestamp | None = None
    run: int | None = None


class Capture(Protocol):
    """A state as it was at one moment."""

    def pieces(self) -> Iterable[Piece]:
        """What is to be stored. Called once, possibly on another thread, while the job runs on."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker is given of a state of its stage.

    Attributes:
        version: The version with which it was stored.
        pieces: All pieces that may hold rows for this worker; those of key groups may hold others' too.
        worker: Which worker this is.
        workers: How many there are now.
    """

    version: int
    pieces: Sequence[Piece]
    worker: int
    workers: int


class State:
    """What all kinds of state have.

    Attributes:
        name: Unique in its vertex; finds the state again after a restart.
        version: Of what the values mean; stored with them.
    """

    name: str
    version: int

    def size_bytes(self) -> int:
        """About how much memory it takes; asked for some times a second."""
        return 0

    def capture(self) -> Capture:
        """The state now, by reference."""
        raise NotImplementedError

    def committed(self, capture: Any) -> None:
        """A checkpoint with this capture is durable: what has not changed since need not be stored again.

        There may be a newer capture already, whose checkpoint may still be given up.
        """

    def forget(self) -> None:
        """What was committed is lost: the next capture has to hold everything."""

    def restore(self, share: Share) -> None:
        """Takes over what was stored; called before the first callback, on an empty state."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Ready:
    ready: list[Piece]

    def pieces(self) -> Iterable[Piece]:
        return self.ready


class TimedBatches(State):
    """The batches that a vertex keeps for each time until that is complete, by input port.

    >>> kept = TimedBatches("kept", ports=2)
    >>> kept.add((0,), 1, ["x"]), kept.add((0,), 0, ["y"])
    (True, False)
    >>> kept.pop((0,)), kept.pop((7,))
    ([[['y']], [['x']]], [[], []])

    Args:
        name: See `State`.
        ports: How many input ports the vertex has.
    """

    def __init__(self, name: str = "kept", ports: int = 1) -> None:
        self.name = name
        self.version = 1
        self._ports = ports
        self._kept: dict[Timestamp, list[list[Any]]] = {}
        self._sized: dict[tuple[Timestamp, int], tuple[int, int]] = {}  # Of the first so many batches, so many bytes.

    def __contains__(self, time: Timestamp) -> bool:
        return time in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, time: Timestamp, port: int, batch: Any) -> bool:
        """Keeps a batch; whether it is the first of its time."""
        kept = self._kept.get(time)
        if kept is None:
            self._kept[time] = kept = [[] for _ in range(self._ports)]
            kept[port].append(batch)
            return True
        kept[port].append(batch)
        return False

    def get(self, time: Timestamp, port: int) -> list[Any]:
        """The batches of a time at a port; not to be changed."""
        kept = self._kept.get(time)
        return kept[port] if kept is not None else []

    def replace(self, time: Timestamp, port: int, batch: Any) -> None:
        """Puts one batch in the place of all that a time has at a port."""
        self._kept[time][port] = [batch]
        self._sized.pop((time, port), None)

    def pop(self, time: Timestamp) -> list[list[Any]]:
        """The batches of a time by port, and forgets them."""
        if self._sized:
            for port in range(self._ports):
                self._sized.pop((time, port), None)
        return self._kept.pop(time, None) or [[] for _ in range(self._ports)]

    def size_bytes(self) -> int:
        """See `State.size_bytes`. Batches are measured once, when somebody asks, not when they come."""
        for time, ports in self._kept.items():
            for port, batches in enumerate(ports):
                count, size = self._sized.get((time, port), (0, 0))
                if len(batches) > count:
                    self._sized[time, port] = len(batches), size + sum(map(size_bytes, batches[count:]))
        return sum(size for _, size in self._sized.values())

    def capture(self) -> Capture:
        """See `State.capture`."""
        return _Ready(
            [
                Piece(batch, port=port, time=time)
                for time, ports in self._kept.items()
                for port, batches in enumerate(ports)
                for batch in batches
            ]
        )

    def restore(self, share: Share) -> None:
        """See `State.restore`."""
        for piece in share.pieces:
            assert piece.time is not None
            assert piece.port is not None
            self.add(piece.time, piece.port, piece.batch)


class KeyedState(State, MutableMapping[K, V]):
    """A value for each key, kept across times: a dict whose content survives.

    A value must not be changed in place, because a checkpoint may still be writing it: put a new one.

    Args:
        name: See `State`.
        by: What of a key the stage's input is partitioned by, by default the key itself.
        version: Of what keys and values mean.
        migrate: Turns ``(version, key, value)`` of an older version into ``(key, value)`` of this one.

    >>> counts = KeyedState[str, int]("counts")
    >>> counts["a"] = counts.get("a", 0) + 1
    >>> dict(counts)
    {'a': 1}
    """

    def __init__(
        self,
        name: str,
        *,
        by: Callable[[K], Any] | None = None,
        version: int = 1,
        migrate: Callable[[int, Any, Any], tuple[K, V]] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self._migrate = migrate
        self._items: dict[K, V] = {}
        # Keys that have changed since the last capture; None: the next capture holds everything anyway.
        self._changed: set[K] | None = None
        self._captured: dict[K, int] = {}  # The newest capture with a change of the key that no commit covers.
        self._captures = 0
        self._forgotten = 0  # A commit of this capture or an older one says nothing of what has changed since.
        self._durable = False
        self._index = _GroupIndex(by)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._items[key] = value
        if self._changed is not None:
            self._changed.add(key)

    def __delitem__(self, key: K) -> None:
        del self._items[key]
        if self._changed is not None:
            self._changed.add(key)
            self._bound(self._changed)

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def get(self, key: K, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return self._items.get(key, default)

    def size_bytes(self) -> int:
        """See `State.size_bytes`."""
        items = self._items.items()
        sample = [*islice(items, SAMPLED_ITEMS), *islice(reversed(items), SAMPLED_ITEMS)]
        return len(self._items) * (ITEM_BYTES + size_bytes(sample) // len(sample)) if sample else 0

    def _bound(self, noted: Collection[K]) -> None:
        """While no checkpoint becomes durable, keys come and go: what is noted must not outgrow what there is."""
        if len(noted) > 2 * len(self._items) + NOTED_KEYS:
            self.forget()

    def capture(self) -> Capture:
        """See `State.capture`."""
        self._bound(self._captured)
        self._captures += 1
        self._captured.update(dict.fromkeys(self._changed or (), self._captures))
        self._changed = set()
        changed = frozenset(self._captured) if self._durable else None
        return _KeyedCapture(self._captures, self._index, dict(self._items), changed)

    def committed(self, capture: Any) -> None:
        """See `State.committed`."""
        if capture.number > self._forgotten:
            self._captured = {key: number for key, number in self._captured.items() if number > capture.number}
            self._durable = True
            self._index.committed(capture.blocks)

    def forget(self) -> None:
        """See `State.forget`."""
        self._changed, self._captured = None, {}
        self._forgotten, self._durable = self._captures, False
        self._index.forget()

    def restore(self, share: Share) -> None:
        """See `State.restore`.

        Raises:
            StateError: What was stored is of another version, and there is no `migrate`.
        """
        for piece in share.pieces:
            self._take(share, piece.batch)

    def _take(self, share: Share, records: list[tuple[Any, Any]]) -> None:
        if share.version != self.version:
            records = [self._migrated(share.version, key, value) for key, value in records]
        if not records:
            return
        keys = with_one_nan([key for key, _ in records])
        owned = owners(self._index.hashes(keys), share.workers) == share.worker
        restored = zip(keys, records, owned.tolist(), strict=True)
        self._items.update((key, value) for key, (_, value), mine in restored if mine)

    def _migrated(self, version: int, key: Any, value: Any) -> tuple[K, V]:
        if self._migrate is None:
            raise StateError(
                f"the state {self.name!r} was stored with version {version}, and the job has version {self.version}: "
                f"give it a migrate() that turns the one into the other"
            )
        return self._migrate(version, key, value)


class _GroupIndex(Generic[K]):
    """Which keys each block of key groups holds; follows the state from capture to capture."""

    def __init__(self, by: Callable[[K], Any] | None) -> None:
        self._by = by
        self._group_of: dict[K, int] = {}
        self._members: list[set[K]] = [set() for _ in range(KEY_GROUPS)]
        self._blocks = 1
        self._committed_blocks = 0

    def committed(self, blocks: int) -> None:
        """So many blocks are durable."""
        self._committed_blocks = blocks

    def forget(self) -> None:
        """No block is durable."""
        self._committed_blocks = 0

    def hashes(self, keys: Sequence[K]) -> Any:
        """The stable hashes that decide whose the keys are."""
        return hash_records(keys if self._by is None else [self._by(key) for key in keys])

    def update(self, items: dict[K, V], changed: Collection[K] | None) -> set[int]:
        """Takes note of keys that have come, gone or changed (None: any); returns the key groups they are of."""
        if changed is None:
            self._group_of, self._members, changed = {}, [set() for _ in range(KEY_GROUPS)], items
        new = [key for key in changed if key not in self._group_of]
        if new:
            self._group_of.update(zip(new, key_group(self.hashes(new)).tolist(), strict=True))
        touched = set()
        for key in changed:
            group = self._group_of[key]
            touched.add(group)
            if key in items:
                self._members[group].add(key)
            else:
                self._members[group].discard(key)
                del self._group_of[key]
        return touched

    def block_groups(self, items: int) -> tuple[int, bool]:
        """How many groups a block has, and whether that is new: blocks double in number as the state grows."""
        while self._blocks < KEY_GROUPS and items > 2 * self._blocks * ITEMS_PER_BLOCK:
            self._blocks *= 2
        return KEY_GROUPS // self._blocks, self._blocks != self._committed_blocks

    def members(self, first: int, stop: int) -> Iterator[K]:
        """The keys of a range of groups."""
        for group in range(first, stop):
            yield from self._members[group]


@dataclass(slots=True)
class _KeyedCapture(Generic[K, V]):
    number: int
    index: _GroupIndex[K]
    items: dict[K, V]
    changed: frozenset[K] | None
    blocks: int = 0

    def pieces(self) -> Iterable[Piece]:
        touched = self.index.update(self.items, self.changed)
        groups, all_anew = self.index.block_groups(len(self.items))
        self.blocks = KEY_GROUPS // groups
        items = self.items
        for first in range(0, KEY_GROUPS, groups):
            block = (first, first + groups)
            if all_anew or any(group in touched for group in range(*block)):
                yield Piece([(key, items[key]) for key in self.index.members(*block)], block)
            else:
                yield Piece(None, block)


def states_of(vertex: object, stage: str) -> dict[str, State]:
    """The states that a vertex keeps in its attributes, by name.

    Raises:
        StateError: Two have the same name.
    """
    found: dict[str, State] = {}
    for value in vars(vertex).values():
        if isinstance(value, State):
            if value.name in found:
                raise StateError(f"stage {stage!r} has two states named {value.name!r}: give one another name")
            found[value.name] = value
    return found


def undeclared(vertex: object) -> list[str]:
    """Attributes of a new vertex that look like state that a checkpoint would lose: empty containers."""
    return [
        name
        for name, value in vars(vertex).items()
        if isinstance(value, MutableMapping | list | set | bytearray) and not isinstance(value, State) and not value
    ]
