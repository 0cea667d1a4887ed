"""A number of workers that is tried: whether a job's state can be spread over them shows when they take it over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from limnad.cluster.leader import Failure

if TYPE_CHECKING:
    from limnad_worker.job import Job


@dataclass
class Trial:
    """From the start of its workers until each of them has taken over its share, or one has failed for good.

    Attributes:
        before: The number of workers that the job goes back to.
        workers: The number that is tried.
        refusal: Why it went back; empty: it did not.
    """

    before: int
    workers: int
    refusal: str = ""
    _working: set[int] = field(default_factory=set)

    @property
    def settled(self) -> bool:
        """Whether it is over."""
        return bool(self.refusal) or len(self._working) == self.workers

    def works(self, worker: int) -> None:
        """A worker tells how it is doing: it has what it needs."""
        self._working.add(worker)

    def takes_back(self, why: str) -> bool:
        """The job would end for this reason; whether it goes back instead."""
        if self.settled:
            return False
        self.refusal = why
        return True


def or_back(job: Job, verdict: Failure | None) -> Failure | None:
    """Why a job is to end; None: it is started again, if it was trying a number of workers with as many as before."""
    if verdict is None or job.trial is None or not job.trial.takes_back(verdict.summary):
        return verdict
    job.workers = job.trial.before
    return None
