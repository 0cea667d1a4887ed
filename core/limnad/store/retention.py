"""Deleting what no checkpoint needs any more, while others are written and read.

A sweep has four steps, and anything may happen between any two of them:

1. One change of the record (see `limnad.store.checkpoints`) takes the numbers out of *complete* that are not among the
   newest K, not pinned and not leased. The same change yields the **lowest mark**: the least number that is being
   written, or the next one.
2. The manifests of numbers that are neither *complete* nor *written* are deleted.
3. The manifests that are left are read: what they list is alive.
4. Chunks that are not alive **and** whose mark is below the lowest mark are deleted, each in one atomic step with the
   comparison of its mark.

Why nothing is deleted that anybody needs:

- *A checkpoint that is being written, or begins later*, has a number that is not below the lowest mark, and has put or
  touched each of its chunks under that number. If it did so before step 4 came to the chunk, the mark protects the
  chunk; if after, the put saw that the chunk was gone, and wrote it anew (or the touch said that it is gone).
- *A checkpoint that was committed before step 1* is in *complete* then, so step 3 reads its manifest. One that commits
  after step 1 was being written at step 1, or began later.
- *A restore* has a lease, so step 1 leaves its checkpoint; or it asks for the lease after step 1, and is told that the
  checkpoint is not there any more. It never gets half of one.
- *Another sweep at the same time* may take away a manifest that step 3 is about to read. Then that checkpoint is out of
  *complete*, and what only it listed may go.
- *Who was declared dead* (a new generation) and goes on writing, cannot commit any more.
- *A deletion that arrives late*, because its sender gave up waiting, compares marks like any other: what has been put
  or touched since then has a mark that is not below its bound.
- *A sweep that is stopped until the job was deleted and its name is another one's*, whose marks begin anew, deletes in
  the name of a record (a `Guard`) that went with the job.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from limnad.store.checkpoints import MANIFEST, Checkpoints, State
from limnad.store.errors import Conflict, LostState
from limnad.store.interface import ChunkRef, Guard


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did.

    Attributes:
        kept: Checkpoints that are left.
        manifests: How many were deleted.
        chunks: How many were deleted.
    """

    kept: tuple[int, ...]
    manifests: int
    chunks: int


def retain(checkpoints: Checkpoints, *, keep: int, pinned: Collection[int] = (), guard: Guard | None = None) -> Swept:
    """Keeps the newest checkpoints and the pinned ones, and deletes what only the others needed.

    Args:
        checkpoints: Of a job.
        keep: How many of the newest; at least one.
        pinned: Others, by number.
        guard: In whose name; None: nobody else can have the job's name meanwhile.

    Raises:
        ValueError: Nothing would be kept.
        Conflict: Another generation has taken over.
        StoreError: A manifest cannot be read; then no chunk was deleted.
    """
    sweep = Sweep(checkpoints, keep, pinned, guard)
    manifests = sweep.delete_manifests()
    alive = sweep.alive()
    return Swept(sweep.state.complete, manifests, sweep.delete_chunks(alive))


class Sweep:
    """The steps of `retain`, one by one.

    Args:
        checkpoints: Of a job.
        keep: How many of the newest.
        pinned: Others, by number.
        guard: In whose name.
    """

    def __init__(
        self, checkpoints: Checkpoints, keep: int, pinned: Collection[int] = (), guard: Guard | None = None
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep is at least 1, not {keep}: without a checkpoint a job begins from nothing")
        self._checkpoints = checkpoints
        self._guard = guard

        def dropped(state: State) -> State:
            stay = {*state.complete[-keep:], *pinned, *state.leases.values()}
            return replace(state, complete=tuple(number for number in state.complete if number in stay))

        self.state = checkpoints.change(dropped)

    def delete_manifests(self) -> int:
        """Those that belong to no checkpoint, nor to one that is being written; how many."""
        ledger = self._checkpoints.space.ledger
        count = 0
        for key in ledger.keys(MANIFEST):
            number = int(key.removeprefix(MANIFEST))
            # One that began later is not in our state, and is not ours to judge.
            if number > self.state.last or number in self.state.written or number in self.state.complete:
                continue
            record = ledger.get(key)
            if record is not None:
                try:
                    ledger.delete(key, record.version, guard=self._guard)
                except Conflict:
                    continue
                count += 1
        return count

    def alive(self) -> set[ChunkRef]:
        """What the checkpoints of step 1 list.

        Raises:
            LostState: A manifest is gone, and not because another sweep took it.
        """
        refs: set[ChunkRef] = set()
        for number in self.state.complete:
            try:
                refs.update(self._checkpoints.manifest(number).chunks)
            except LostState:
                if number in self._checkpoints.numbers():
                    raise
        return refs

    def delete_chunks(self, alive: Collection[ChunkRef]) -> int:
        """Those that are not alive, and that nobody has wanted since; how many."""
        chunks = self._checkpoints.space.chunks
        dead = sorted(chunks.refs() - set(alive))
        return chunks.delete(dead, below=self.state.lowest_mark, guard=self._guard)
