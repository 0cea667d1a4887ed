"""The leader's side of a halting checkpoint: when one begins, when it is durable, when it is given up.

    state      event                        next        what is to be done
    IDLE       due, or asked for            OPENING     Open: ask the store for a number
    OPENING    opened                       STORING     Begin to all workers
               failed                       IDLE        Drop
    STORING    stored(w), not yet all       STORING
               stored(w), all               COMMITTING  Commit
               failed(w), timed out         IDLE        Drop, Abort to all workers
    COMMITTING committed                    IDLE        Announce to all workers
               failed                       IDLE        Drop, Abort to all workers

A checkpoint that fails is dropped with a warning and never harms the job. Another that is asked for meanwhile waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

INTERVAL_S = 10.0
"""Default time from one checkpoint to the next: what a restart repeats at most, against a halt of milliseconds."""

TIMEOUT_S = 600.0
"""Default time after which a checkpoint is given up; a gigabyte of state takes seconds."""


class Phase(Enum):
    """What the leader waits for."""

    IDLE = "idle"
    OPENING = "opening"
    STORING = "storing"
    COMMITTING = "committing"


@dataclass(frozen=True, slots=True)
class Open:
    """Ask the store for the number of a new checkpoint."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Tell all workers to halt for a checkpoint."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the manifest: all parts, by worker, are durable."""

    checkpoint: int
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Warn that a checkpoint (None: one that has no number yet) was given up, and have the store forget it."""

    checkpoint: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Tell all workers that a checkpoint has been given up."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell all workers that a checkpoint is durable."""

    checkpoint: int


Effect = Open | Begin | Commit | Drop | Abort | Announce


@dataclass(slots=True)
class Checkpoints:
    """One generation's checkpoints.

    Attributes:
        workers: How many workers there are.
        interval_s: From one to the next; None: only when asked for.
        epochs: After so many complete epochs a checkpoint is due, too; None: not by epochs.
        timeout_s: After how long one is given up.
        phase: What the leader waits for.
        dropped: How many have been given up.
        committed: How many have become durable.
    """

    workers: int
    interval_s: float | None = INTERVAL_S
    epochs: int | None = None
    timeout_s: float = TIMEOUT_S
    phase: Phase = Phase.IDLE
    dropped: int = 0
    committed: int = 0
    _asked: bool = False
    _began_s: float = 0.0
    _ended_s: float | None = None
    _epoch: int = 0
    _number: int = 0
    _parts: dict[int, Any] = field(default_factory=dict)

    @property
    def current(self) -> int | None:
        """The checkpoint that is being made."""
        return self._number if self.phase in (Phase.STORING, Phase.COMMITTING) else None

    def ask(self, now_s: float) -> list[Effect]:
        """Somebody wants a checkpoint; with one under way, the next."""
        self._asked = True
        return self.tick(now_s)

    def tick(self, now_s: float, epoch: int | None = None) -> list[Effect]:
        """Time has passed, or epochs have become complete (all before ``epoch``)."""
        if self._ended_s is None:
            self._ended_s = now_s
        if self.phase is Phase.IDLE:
            return self._begin(now_s, epoch) if self._due(now_s, epoch) else []
        if self.phase is Phase.STORING and now_s - self._began_s >= self.timeout_s:
            missing = sorted(set(range(self.workers)) - self._parts.keys())
            return self._drop(now_s, f"after {self.timeout_s:g} s it was not stored by worker {missing[0]}")
        return []

    def opened(self, checkpoint: int) -> list[Effect]:
        """The store has given a number, above all that were ever used for the job."""
        assert self.phase is Phase.OPENING
        self._number = checkpoint
        self.phase = Phase.STORING
        return [Begin(checkpoint)]

    def stored(self, worker: int, checkpoint: int, part: Any, now_s: float) -> list[Effect]:
        """A worker's part is durable."""
        if self.phase is not Phase.STORING or checkpoint != self._number:
            return []
        self._parts[worker] = part
        if len(self._parts) < self.workers:
            return []
        self.phase = Phase.COMMITTING
        return [Commit(checkpoint, tuple(self._parts[index] for index in range(self.workers)))]

    def failed(self, checkpoint: int | None, reason: str, now_s: float) -> list[Effect]:
        """The number could not be had (None), or a worker's part or the manifest could not be stored."""
        if self.phase is Phase.IDLE or checkpoint != self.current:
            return []
        return self._drop(now_s, reason)

    def commit_done(self, checkpoint: int, now_s: float) -> list[Effect]:
        """The manifest is durable."""
        assert self.phase is Phase.COMMITTING
        self.phase, self._ended_s = Phase.IDLE, now_s
        self.committed += 1
        return [Announce(checkpoint)]

    def _due(self, now_s: float, epoch: int | None) -> bool:
        assert self._ended_s is not None
        by_time = self.interval_s is not None and now_s - self._ended_s >= self.interval_s
        by_epochs = self.epochs is not None and epoch is not None and epoch - self._epoch >= self.epochs
        return self._asked or by_time or by_epochs

    def _begin(self, now_s: float, epoch: int | None) -> list[Effect]:
        self._asked, self._began_s, self._epoch = False, now_s, epoch if epoch is not None else self._epoch
        self._parts.clear()
        self.phase = Phase.OPENING
        return [Open()]

    def _drop(self, now_s: float, reason: str) -> list[Effect]:
        number = self.current
        self.phase, self._ended_s = Phase.IDLE, now_s
        self.dropped += 1
        told: list[Effect] = [] if number is None else [Abort(number)]
        return [Drop(number, reason), *told]
