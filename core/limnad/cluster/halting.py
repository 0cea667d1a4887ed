"""A worker's side of a halting checkpoint (Naiad, section 3.4).

    begin, or the first marker        halted: no callback runs, no source is read; every outgoing buffer has gone, and
                                      a marker behind it to each peer
    what arrives from a peer          before its marker: kept undelivered, part of the checkpoint
                                      after its marker: held back, not part of it
    the last peer's marker            capture; run on, with what was held back
    abort                             run on, as if nothing had been

Nothing is drained: a loop that circulates for ever is caught in the middle of a trip, its batches undelivered. A peer
that has captured already runs on before others have: what it sends then is behind its marker. Progress updates flow all
the time: counts are not stored.

Checkpoints are numbered upwards. A marker may come before the leader's word, and the leader's word to abort before a
marker: whatever bears a number that has been begun or aborted already changes nothing.
"""

from dataclasses import dataclass, field
from typing import Any

from limnad.timely.timestamp import Timestamp


@dataclass(frozen=True, slots=True)
class Held:
    """A batch that came behind its sender's marker."""

    connector: int
    time: Timestamp
    batch: Any


@dataclass(slots=True)
class Halting:
    """Where a worker stands in a checkpoint.

    Attributes:
        peers: All other workers.
        checkpoint: The checkpoint that it halts for; None while it runs.
        newest: The greatest number that was ever begun or aborted.
    """

    peers: frozenset[int]
    checkpoint: int | None = None
    newest: int = 0
    _marked: set[int] = field(default_factory=set)
    _held: list[Held] = field(default_factory=list)

    def begin(self, checkpoint: int) -> None:
        """The worker halts for a checkpoint that is newer than any it knows of."""
        self.checkpoint = self.newest = checkpoint
        self._marked.clear()

    def marked(self, peer: int, checkpoint: int) -> None:
        """A peer's marker has come."""
        if checkpoint == self.checkpoint:
            self._marked.add(peer)

    @property
    def complete(self) -> bool:
        """Whether all that belongs to the checkpoint has arrived."""
        return self.checkpoint is not None and self._marked == self.peers

    def holds_back(self, peer: int) -> bool:
        """Whether what comes from a peer now is behind its marker."""
        return self.checkpoint is not None and peer in self._marked

    def hold(self, held: Held) -> None:
        """Keeps a batch until the worker runs on."""
        self._held.append(held)

    def run_on(self) -> list[Held]:
        """Ends the halt; returns what was held back."""
        held, self._held = self._held, []
        self.checkpoint = None
        return held

    def abort(self, checkpoint: int) -> bool:
        """The leader has given up a checkpoint; whether the worker halts for it."""
        self.newest = max(self.newest, checkpoint)
        return self.checkpoint == checkpoint
