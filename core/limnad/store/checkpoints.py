"""Which checkpoints there are, which are being written, and which are being read: one record decides.

A job's checkpoints are numbered. The record `state` of its ledger lists the numbers that are being **written** and
those that are **complete**, and the **leases** of those that read one. It is changed by compare-and-set only, so all
that happens to checkpoints happens in one order:

- `Checkpoints.begin` takes the next number into *written*. The number is the **mark** under which the writer puts and
  touches its chunks (see `limnad.store.Chunks`).
- `Checkpoints.commit` puts the manifest (``checkpoint/<number>``), then moves the number from *written* to *complete*.
  Only that makes it a checkpoint: a manifest whose number is not *complete* is nothing.
- `Checkpoints.lease` is taken on a *complete* number while it is read.
- `Checkpoints.take_over` begins a generation: it empties *written* and *leases*, and from then on every call of an
  older generation is a `Conflict`. So nothing is left behind by who has died, and who was only slow can do no harm.

How retention deletes beside all that, see `limnad.store.retention`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from limnad.store.errors import Conflict, LostState, StoreError
from limnad.store.interface import ABSENT, ChunkRef, Space

STATE: Final = "checkpoints"
"""The key of the one record."""
MANIFEST: Final = "checkpoint/"
"""Begins the keys of manifests; the number follows."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint consists of.

    As bytes: a line of JSON, ``{"format": 1, "number": ..., "chunks": ["<digest>.<size>", ...]}``, then the body.

    Attributes:
        number: Of the checkpoint.
        chunks: All that the body refers to; retention reads nothing else.
        body: Whatever the engine wants to find again.
    """

    number: int
    chunks: tuple[ChunkRef, ...]
    body: bytes

    def encode(self) -> bytes:
        """Law: `Manifest.decode(manifest.encode()) == manifest`."""
        head = {"format": 1, "number": self.number, "chunks": list(map(str, self.chunks))}
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Reads one.

        Raises:
            StoreError: It is damaged, or of a newer Limnad.
        """
        line, _, body = data.partition(b"\n")
        try:
            head = json.loads(line)
            if head["format"] != 1:
                raise StoreError(f"this manifest has format {head['format']}: it was written by a newer Limnad")
            return cls(int(head["number"]), tuple(map(ChunkRef.parse, head["chunks"])), body)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"these {len(data):,} bytes are no manifest: {error}") from None


@dataclass(frozen=True, slots=True)
class State:
    """The record.

    Attributes:
        generation: Who may write.
        last: The highest number that was ever given.
        written: Numbers that are being written, ascending.
        complete: Numbers of checkpoints, ascending.
        leases: From a random token to the number that its holder reads.
    """

    generation: int = 0
    last: int = 0
    written: tuple[int, ...] = ()
    complete: tuple[int, ...] = ()
    leases: dict[str, int] = field(default_factory=dict)

    @property
    def lowest_mark(self) -> int:
        """No checkpoint that is written now, or will be, puts chunks under a lower mark."""
        return min(self.written, default=self.last + 1)

    def encode(self) -> bytes:
        """As JSON."""
        names = ("generation", "last", "written", "complete", "leases")
        return json.dumps({name: getattr(self, name) for name in names}).encode()

    @classmethod
    def decode(cls, data: bytes) -> State:
        """Law: the inverse of `encode`."""
        said: dict[str, Any] = json.loads(data)
        return cls(said["generation"], said["last"], tuple(said["written"]), tuple(said["complete"]), said["leases"])


class Checkpoints:
    """The checkpoints of a job.

    Args:
        space: The job's own.
        generation: In whose name this object acts; None: in that of whichever there is, as one who only reads does.
    """

    def __init__(self, space: Space, generation: int | None = None) -> None:
        self.space = space
        self._generation = generation

    def state(self) -> State:
        """As it is now."""
        record = self.space.ledger.get(STATE)
        return State() if record is None else State.decode(record.value)

    def take_over(self) -> State:
        """Begins this generation; doing it again changes nothing.

        Raises:
            Conflict: There is a newer one.
        """
        generation = self._generation or 0

        def taken(state: State) -> State:
            if state.generation == generation:
                return state
            return replace(state, generation=generation, written=(), leases={})

        return self.change(taken, newer=True)

    def begin(self) -> int:
        """A new checkpoint's number, which is the mark of its chunks.

        Raises:
            Conflict: Another generation has taken over.
        """
        return self.change(
            lambda state: replace(state, last=state.last + 1, written=(*state.written, state.last + 1))
        ).last

    def commit(self, number: int, chunks: Iterable[ChunkRef], body: bytes, *, durable: bool = False) -> Manifest:
        """Makes a checkpoint of what was written; may be called again if its outcome is unknown.

        Args:
            number: From `begin`.
            chunks: All that the body refers to; each was put or touched under the mark ``number``.
            body: For the engine.
            durable: See `limnad.store.Ledger.put`.

        Raises:
            Conflict: It was abandoned, or another generation has taken over; it is no checkpoint.
        """
        manifest = Manifest(number, tuple(chunks), body)
        data = manifest.encode()

        def committed(state: State) -> State:
            if number in state.complete and self._manifest(number) == manifest:
                return state
            if number not in state.written:
                raise Conflict(f"{self.space.where}: checkpoint {number} was abandoned: its chunks may be gone")
            written = tuple(other for other in state.written if other != number)
            return replace(state, written=written, complete=tuple(sorted((*state.complete, number))))

        now = self.state()
        self._check(now)
        committed(now)  # if it can succeed no more, no manifest is put either
        self._put_manifest(number, data)
        self.change(committed, durable=durable)
        return manifest

    def abandon(self, number: int) -> None:
        """Gives up a checkpoint that is being written; its chunks fall to retention. May be called again."""
        self.change(lambda state: replace(state, written=tuple(other for other in state.written if other != number)))

    def numbers(self) -> tuple[int, ...]:
        """Those that are complete, ascending."""
        return self.state().complete

    @contextmanager
    def lease(self, number: int) -> Iterator[Manifest]:
        """A checkpoint that retention does not delete while it is read.

        Raises:
            Conflict: There is no such checkpoint any more, or another generation has taken over.
        """
        token = secrets.token_hex(8)

        def leased(state: State) -> State:
            if number not in state.complete:
                raise Conflict(f"{self.space.where} has no checkpoint {number} any more: choose another one")
            return replace(state, leases={**state.leases, token: number})

        self.change(leased)
        try:
            yield self.manifest(number)
        finally:
            self._release(token)

    def _release(self, token: str) -> None:
        def released(state: State) -> State:
            return replace(state, leases={other: held for other, held in state.leases.items() if other != token})

        # A new generation has dropped the lease already; so nobody is asked whether this is still the current one.
        self.change(released, anybody=True)

    def manifest(self, number: int) -> Manifest:
        """What a complete checkpoint consists of.

        Raises:
            LostState: The record says that it is complete, but it is not there.
        """
        manifest = self._manifest(number)
        if manifest is None:
            raise LostState(f"{self.space.where} lists checkpoint {number}, but its manifest is gone: use another one")
        return manifest

    def manifests(self) -> Iterator[Manifest]:
        """What all complete checkpoints consist of, the oldest first; one that is deleted meanwhile is left out.

        Raises:
            LostState: See `manifest`.
        """
        for number in self.numbers():
            try:
                yield self.manifest(number)
            except LostState:
                if number in self.numbers():
                    raise

    def _manifest(self, number: int) -> Manifest | None:
        record = self.space.ledger.get(f"{MANIFEST}{number}")
        return None if record is None else Manifest.decode(record.value)

    def _put_manifest(self, number: int, data: bytes) -> None:
        ledger, key = self.space.ledger, f"{MANIFEST}{number}"
        try:
            ledger.put(key, data, ABSENT)
        except Conflict:
            held = ledger.get(key)
            if held is None or held.value != data:
                raise

    def change(
        self, step: Callable[[State], State], *, durable: bool = False, newer: bool = False, anybody: bool = False
    ) -> State:
        """Applies a step to the record until nobody interferes; returns the record behind it.

        Args:
            step: From a state to the next; may be called several times, and may raise.
            durable: See `limnad.store.Ledger.put`.
            newer: An older generation in the record is all right.
            anybody: Any generation in the record is.
        """
        ledger = self.space.ledger
        while True:
            record = ledger.get(STATE)
            state = State() if record is None else State.decode(record.value)
            if not anybody:
                self._check(state, newer=newer)
            following = step(state)
            if following == state and not durable:
                return state
            try:
                ledger.put(STATE, following.encode(), record.version if record else ABSENT, durable=durable)
            except Conflict:
                continue
            return following

    def _check(self, state: State, *, newer: bool = False) -> None:
        own = state.generation if self._generation is None else self._generation
        if own < state.generation or (own > state.generation and not newer):
            raise Conflict(
                f"{self.space.where} belongs to generation {state.generation}, not to {own}: "
                + ("another leader has taken over" if own < state.generation else "take over first")
            )
