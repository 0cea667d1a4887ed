"""What the reader has printed, held against the reference."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from limnad.cli.drilled import lost
from limnad_operator.drill.job import OUTPUT, Reference


@dataclass(frozen=True, slots=True)
class Compared:
    """One stretch of epochs.

    Attributes:
        rows: How many there should have been.
        lost: How many of them were missing or different.
        repeated: How many epochs came again.
    """

    rows: int
    lost: int
    repeated: int


@dataclass
class Reading:
    """Stretch after stretch, without a gap between them.

    Attributes:
        last: The last epoch that was read; -1: none.
        said: The last line that was no epoch: an error of the reader's, or of the node that has no log of it yet.
    """

    last: int = -1
    said: str = ""
    _reference: Reference = field(default_factory=Reference)
    _epochs: dict[int, list[Any]] = field(default_factory=dict)
    _repeated: int = 0
    _next: int = -1

    def saw(self, line: bytes) -> bool:
        """A line of the reader's. The first epoch begins: what was before it is not kept any more.

        Returns:
            Whether it was an epoch.
        """
        try:
            told = json.loads(line)
        except ValueError:
            self.said = line.decode(errors="replace").strip() or self.said
            return False
        epoch = int(told["epoch"])
        if self._next < 0:
            self._next = epoch
        if epoch in self._epochs or epoch < self._next:
            self._repeated += 1
            return True
        self._epochs[epoch] = told["rows"]
        self.last = max(self.last, epoch)
        return True

    def take(self) -> Compared:
        """Compares what has come since the last time: all epochs up to the last one have to be there."""
        if self._next < 0:
            return Compared(0, 0, 0)
        expected = {(OUTPUT, epoch): self._reference.advance_to(epoch) for epoch in range(self._next, self.last + 1)}
        got = {(OUTPUT, epoch): rows for epoch, rows in self._epochs.items()}
        found = Compared(sum(map(len, expected.values())), lost(expected, got), self._repeated)
        self._next = self.last + 1
        self._epochs, self._repeated = {}, 0
        return found
