"""When one partition of a source waits for another: so that epochs end, instead of piling up.

A worker that is sent much has little time left to read, while one that is sent little reads on and sends still more:
the epochs of the first stay open, and everything that has come for later ones is kept until they end. So a partition
that is far ahead of the slowest one of its source waits for it. Bytes count beside epochs: many small epochs may be on
their way at once, and a single large one keeps a worker busy.
"""

from collections import deque
from dataclasses import dataclass, field

AHEAD_EPOCHS = 16
"""By more epochs than these a partition is far ahead, if by more bytes, too."""

AHEAD_BYTES = 16 << 20
"""See `AHEAD_EPOCHS`: a quarter of what may be on its way for each worker."""


@dataclass(frozen=True, slots=True)
class AheadLimits:
    """How far a partition may be ahead of the slowest one. See `AHEAD_EPOCHS` and `AHEAD_BYTES`."""

    epochs: int = AHEAD_EPOCHS
    nbytes: int = AHEAD_BYTES


USUAL_LIMITS = AheadLimits()


@dataclass(slots=True)
class Lead:
    """What one partition has read in epochs that may be open.

    >>> lead = Lead(AheadLimits(epochs=1, nbytes=10))
    >>> for epoch in range(4):
    ...     lead.read(epoch, 6)
    >>> lead.may_be_far, lead.is_far(slowest=0), lead.is_far(slowest=2)
    (True, True, False)
    """

    limits: AheadLimits
    _begun: deque[tuple[int, int]] = field(default_factory=deque)
    _read_bytes: int = 0

    def read(self, epoch: int, nbytes: int) -> None:
        """A batch of that epoch, the newest one or the next, was read."""
        if not self._begun or self._begun[-1][0] != epoch:
            self._begun.append((epoch, self._read_bytes))
        self._read_bytes += nbytes

    @property
    def may_be_far(self) -> bool:
        """Whether it is worth to find out where the slowest partition is."""
        return len(self._begun) > self.limits.epochs

    def is_far(self, slowest: int) -> bool:
        """Whether the partition is too far ahead of one that is at that epoch."""
        begun = self._begun
        while begun and begun[0][0] < slowest:
            begun.popleft()
        return self.may_be_far and self._read_bytes - begun[0][1] > self.limits.nbytes
