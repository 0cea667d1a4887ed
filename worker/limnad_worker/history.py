"""What a job remembers of itself, its checkpoints and its restarts, for whoever looks later."""

from __future__ import annotations

import time
from dataclasses import replace

from limnad.cluster import leader
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2

STATES = {
    leader.State.STARTING: jobs_pb2.JOB_STATE_STARTING,
    leader.State.RUNNING: jobs_pb2.JOB_STATE_RUNNING,
    leader.State.FINISHED: jobs_pb2.JOB_STATE_FINISHED,
    leader.State.FAILED: jobs_pb2.JOB_STATE_FAILED,
    leader.State.CANCELLED: jobs_pb2.JOB_STATE_CANCELLED,
}
"""The states of a job as clients see them; one that is to be started again is `RECOVERING` besides."""

KEPT = 100
"""How many of each are remembered: the page shows the newest ones, and a job may run for months."""

_ENDED = (
    "The run was ended; nothing of it is left running. With --checkpoint it would have been started again from the "
    "newest checkpoint."
)


class Told:
    """What is told of a job again and again: by its workers, and of its checkpoints.

    What was in a message stays in its memory for as long as that lives, though it is replaced. So none of this is in
    the job's view, which lives as long as the job: statuses stay as they came, and what is told of checkpoints is in a
    message that is made anew with each.

    Attributes:
        statuses: Each worker's newest.
        view: Has the checkpoints' history and the phases of the newest, and nothing else.
    """

    def __init__(self) -> None:
        self.statuses: list[wire.Status] = []
        self.view = jobs_pb2.JobView()

    def begin(self, workers: int) -> None:
        """A generation begins: of its workers nothing is known."""
        self.statuses = [wire.Status() for _ in range(workers)]

    @property
    def epoch(self) -> int | None:
        """The first epoch that is not complete, as worker 0 knows; None: that is not known, or all are."""
        first = self.statuses[0]
        return first.epoch if first.HasField("epoch") else None

    def renew(self) -> None:
        """Gives back the memory of what has been replaced."""
        fresh = jobs_pb2.JobView()
        fresh.CopyFrom(self.view)
        self.view = fresh

    def show(self, copy: jobs_pb2.JobView) -> None:
        """Tells clients; of a job that ended under another leader they are told what it said then."""
        copy.workers.extend(self.statuses)
        if self.view.checkpoint_phases:
            del copy.checkpoint_phases[:]
        copy.checkpoint_phases.extend(self.view.checkpoint_phases)
        copy.checkpoint_history.extend(self.view.checkpoint_history)


def begun(name: str, request: jobs_pb2.SubmitRequest, *, durable: bool) -> jobs_pb2.JobView:
    """A job has been submitted."""
    return jobs_pb2.JobView(
        job=name,
        owner=request.owner,
        asked_width=request.workers,
        durable=durable,
        path=request.path,
        function=request.function or "job",
        submitted_s=time.time(),
    )


def built(view: jobs_pb2.JobView, told: wire.Built) -> None:
    """The engines have built the job's graph."""
    view.stages.extend(told.stages)
    view.inputs.extend(told.inputs)
    view.outputs.extend(told.outputs)
    view.probes.extend(told.probes)
    view.edges.extend(told.edges)
    view.loops.extend(told.loops)


def told(worker: int, failed: wire.Failed) -> leader.Failure:
    """An engine says why it failed."""
    return leader.Failure(leader.Fault(failed.fault), failed.summary, worker, failed.traceback, failed.stage)


def for_good(failure: leader.Failure) -> leader.Failure:
    """Why a job that keeps no checkpoints has ended."""
    return replace(failure, summary=f"{failure.summary} {_ENDED}")


def failed(view: jobs_pb2.JobView, failure: leader.Failure) -> None:
    """The job has failed."""
    view.failure.CopyFrom(
        wire.Failed(
            summary=failure.summary, traceback=failure.traceback, stage=failure.stage, fault=failure.fault.value
        )
    )
    if failure.worker is not None:
        view.failed_worker = failure.worker


def checkpoint_made(view: jobs_pb2.JobView, checkpoint: int, generation: int) -> None:
    """A checkpoint has become durable; its phases are those that the view holds."""
    phases = view.checkpoint_phases
    view.checkpoint_history.add(
        checkpoint=checkpoint,
        at_s=time.time(),
        generation=generation,
        halted_us=max((told.stop_us + told.markers_us + told.references_us for told in phases), default=0),
        stored_us=max((told.encode_us + told.upload_us for told in phases), default=0),
        stored_bytes=sum(told.stored_bytes for told in phases),
    )
    del view.checkpoint_history[:-KEPT]


def checkpoint_dropped(view: jobs_pb2.JobView, checkpoint: int | None, generation: int, why: str) -> None:
    """A checkpoint has been given up."""
    view.checkpoint_history.add(checkpoint=checkpoint or 0, at_s=time.time(), generation=generation, dropped=why)
    del view.checkpoint_history[:-KEPT]


def restarted(view: jobs_pb2.JobView, why: str) -> None:
    """The view's generation has ended, and another one follows."""
    view.restart_history.add(at_s=time.time(), reason=why, generation=view.generation)
    del view.restart_history[:-KEPT]
