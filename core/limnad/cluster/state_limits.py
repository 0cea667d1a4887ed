"""How much state a worker may hold: from a soft limit on sources wait, at a hard one the job fails.

Only what vertices have declared is measured, roughly and about four times a second. Without a hard limit a job that
keeps too much is ended by the system, which does not say which stage it was, and again after each restart.

Behind the soft limit sources read on only when nothing is under way anywhere, so that what can become less does so
first. They are not stopped for good: what waits for the end of an epoch becomes less only when the sources reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limnad.errors import JobError

LARGEST = 3
"""How many stages are named."""


@dataclass(frozen=True, slots=True)
class StateLimits:
    """For each worker.

    Attributes:
        soft_bytes: From here on sources wait; None: never.
        hard_bytes: Here the job fails; None: never.
    """

    soft_bytes: int | None = None
    hard_bytes: int | None = None

    def is_full(self, state_bytes: Mapping[str, int], worker: int) -> bool:
        """Whether sources have to wait.

        Args:
            state_bytes: What each stage holds on the worker.
            worker: Which one it is.

        Raises:
            StateFull: The hard limit has been reached.
        """
        held_bytes = sum(state_bytes.values())
        if self.hard_bytes is not None and held_bytes > self.hard_bytes:
            raise StateFull(dict(state_bytes), worker, self.hard_bytes)
        return self.soft_bytes is not None and held_bytes > self.soft_bytes


class StateFull(JobError):
    """A worker holds more than it may.

    Attributes:
        stage: The one that holds most.
    """

    def __init__(self, state_bytes: Mapping[str, int], worker: int, hard_bytes: int) -> None:
        largest = sorted(state_bytes, key=lambda stage: -state_bytes[stage])[:LARGEST]
        named = ", ".join(f"{stage!r} {_megabytes(state_bytes[stage])}" for stage in largest)
        super().__init__(
            f"worker {worker} holds {_megabytes(sum(state_bytes.values()))} of state, and may hold "
            f"{_megabytes(hard_bytes)}. The largest stages there are {named}. Give the job more workers or a higher "
            f"limit (--state-limit), or let those stages keep less"
        )
        self.stage = largest[0]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
