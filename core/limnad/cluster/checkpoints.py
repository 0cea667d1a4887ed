"""The leader's side of a halting checkpoint: when one begins, when it is durable, when it is given up.

    state      event                        next        what is to be done
    IDLE       due, or asked for            STORING     Begin to all workers
    STORING    stored(w), not yet all       STORING
               stored(w), all               COMMITTING  Commit
               failed(w), timed out         IDLE        Abort to all workers
    COMMITTING committed                    IDLE        Announce to all workers
               commit failed                IDLE        Abort to all workers

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
    STORING = "storing"
    COMMITTING = "committing"


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
class Abort:
    """Tell all workers that a checkpoint has been given up, and warn with the reason."""

    checkpoint: int
    reason: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell all workers that a checkpoint is durable."""

    checkpoint: int


Effect = Begin | Commit | Abort | Announce


@dataclass(slots=True)
class Checkpoints:
    """One generation's checkpoints.

    Attributes:
        workers: How many workers there are.
        next_number: The number of the next checkpoint: above all that were ever used for the job.
        interval_s: From one to the next; None: only when asked for.
        epochs: After so many complete epochs a checkpoint is due, too; None: not by epochs.
        timeout_s: After how long one is given up.
        phase: What the leader waits for.
        dropped: How many have been given up.
        committed: How many have become durable.
    """

    workers: int
    next_number: int = 1
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
        return None if self.phase is Phase.IDLE else self._number

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

    def stored(self, worker: int, checkpoint: int, part: Any, now_s: float) -> list[Effect]:
        """A worker's part is durable."""
        if self.phase is not Phase.STORING or checkpoint != self._number:
            return []
        self._parts[worker] = part
        if len(self._parts) < self.workers:
            return []
        self.phase = Phase.COMMITTING
        return [Commit(checkpoint, tuple(self._parts[index] for index in range(self.workers)))]

    def failed(self, checkpoint: int, reason: str, now_s: float) -> list[Effect]:
        """A worker's part, or the manifest, could not be stored."""
        if checkpoint != self.current:
            return []
        return self._drop(now_s, reason)

    def commit_done(self, checkpoint: int, now_s: float) -> list[Effect]:
        """The manifest is durable."""
        assert self.phase is Phase.COMMITTING
        self.phase, self._ended_s = Phase.IDLE, now_s
        self.committed += 1
        return [Announce(checkpoint), *self.tick(now_s)]

    def _due(self, now_s: float, epoch: int | None) -> bool:
        assert self._ended_s is not None
        by_time = self.interval_s is not None and now_s - self._ended_s >= self.interval_s
        by_epochs = self.epochs is not None and epoch is not None and epoch - self._epoch >= self.epochs
        return self._asked or by_time or by_epochs

    def _begin(self, now_s: float, epoch: int | None) -> list[Effect]:
        self._number, self.next_number = self.next_number, self.next_number + 1
        self._asked, self._began_s, self._epoch = False, now_s, epoch if epoch is not None else self._epoch
        self._parts.clear()
        self.phase = Phase.STORING
        return [Begin(self._number)]

    def _drop(self, now_s: float, reason: str) -> list[Effect]:
        self.phase, self._ended_s = Phase.IDLE, now_s
        self.dropped += 1
        return [Abort(self._number, reason), *self.tick(now_s)]
