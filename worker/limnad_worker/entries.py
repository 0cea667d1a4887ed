"""What a leader knows of each job beside the job itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limnad.cluster.registry import Fate, JobRecord
from limnad_proto.v1 import jobs_pb2
from limnad_worker import history
from limnad_worker.hosts import Hosts
from limnad_worker.job import Job

LOST = (
    "the leader was restarted while the job ran, and the job keeps no checkpoints: submit it again. With a store for "
    "the cluster it would have gone on"
)

OUTPUTS_GONE = (
    "the job has finished, and the leader was restarted since: what the job had put out is not kept any more, because "
    "it keeps no checkpoints"
)

OUTPUTS_LET_GO = "what the job had put out is not kept any more: it has ended, and other jobs have since"


class AskAgain(Exception):
    """The leader cannot answer yet; says why. The same may be asked again."""

    @classmethod
    def going(cls, job: str) -> Self:
        """A deletion was begun under an earlier leader."""
        return cls(f"the job {job} is being deleted: ask again when nothing of it is left")


@dataclass(slots=True)
class Entry:
    """A job and its place in the registry.

    Attributes:
        job: The job.
        number: The higher, the newer.
        store: Where its checkpoints are; empty: it keeps none.
        space: Its name there.
        saved: What the registry has of it.
        recalled: Whether it is known from there alone: it ended under another leader.
    """

    job: Job
    number: int
    store: str = ""
    space: str = ""
    saved: JobRecord | None = None
    recalled: bool = False

    @classmethod
    def of(cls, record: JobRecord, job: Job) -> Self:
        """That of a job which a new leader has found."""
        ended = record.fate is Fate.ENDED
        return cls(job, record.number, record.store, record.space, saved=record, recalled=ended)

    def record(self) -> JobRecord:
        """What the registry is to have of it."""
        job = self.job
        return JobRecord(
            term=0,
            job=job.name,
            number=self.number,
            request=job.request.SerializeToString(),
            width=job.workers,
            store=self.store,
            space=self.space,
            submitted_s=job.view.submitted_s,
            draining=job.draining,
            view=job.snapshot().SerializeToString() if job.state.ended else b"",
            pins=dict(job.pins.named),
        )


def recalled(record: JobRecord, hosts: Hosts) -> Job:
    """A job that has ended, as the registry remembers it."""
    job = Job(record.job, jobs_pb2.SubmitRequest.FromString(record.request), hosts, None)
    job.view = jobs_pb2.JobView.FromString(record.view)
    job.workers, job.draining, job.generation = record.width, record.draining, job.view.generation
    job.state = next(state for state, number in history.STATES.items() if number == job.view.state)
    job.log.close()
    job.refuse_pushes()
    return job
