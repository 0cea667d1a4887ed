"""How long something is ago, also when the machine was suspended or the program stopped since."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by two clocks: one that is never set, and one that goes on while the machine is suspended."""

    monotonic_s: float
    wall_s: float

    @classmethod
    def now(cls) -> Self:
        """This moment."""
        return cls(time.monotonic(), time.time())

    def age_s(self) -> float:
        """Seconds since then: what the clock says that says more."""
        return max(time.monotonic() - self.monotonic_s, time.time() - self.wall_s)
