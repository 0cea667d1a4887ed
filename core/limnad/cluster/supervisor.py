"""Whether a job that has lost a worker is started again, and when that has happened too often.

A fault of the user's code or data comes again however often the job is started: it fails at once. Anything else is met
with a new generation from the newest checkpoint, unless that has happened `max_restarts` times within `window_s`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from limnad.cluster.leader import Failure, Fault

MAX_RESTARTS = 10
"""Default; a machine that loses workers more often than that in `WINDOW_S` needs a person."""

WINDOW_S = 60.0
"""Default; crashes an hour apart are no loop."""


@dataclass(slots=True)
class Supervisor:
    """Counts one job's restarts.

    Attributes:
        max_restarts: How many within the window are still all right.
        window_s: How long a restart counts.
        restarts: How many there have been in all.
    """

    max_restarts: int = MAX_RESTARTS
    window_s: float = WINDOW_S
    restarts: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def judge(self, failure: Failure, now_s: float) -> Failure | None:
        """None: start again. Else why the job has failed for good."""
        if failure.fault is Fault.JOB:
            return failure
        while self._recent and now_s - self._recent[0] > self.window_s:
            self._recent.popleft()
        if len(self._recent) >= self.max_restarts:
            return Failure(
                failure.fault,
                f"{failure.summary} That was after {len(self._recent)} restarts within {self.window_s:g} seconds, so "
                "it was not started once more: find out what ends the workers, or allow more with --max-restarts.",
                failure.worker,
                failure.traceback,
            )
        self._recent.append(now_s)
        self.restarts += 1
        return None
