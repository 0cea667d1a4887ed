"""How a job is doing, and how it is kept safe: what a client tells and is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from limnad.errors import JobFailed
from limnad_proto.v1 import control_pb2, jobs_pb2

ENDED: Final = {jobs_pb2.JOB_STATE_FINISHED, jobs_pb2.JOB_STATE_FAILED, jobs_pb2.JOB_STATE_CANCELLED}


@dataclass(frozen=True)
class StageStatus:
    """What went through one stage so far, on all workers together.

    Attributes:
        name: The stage.
        label: What a table shows.
        kind: ``"input"``, ``"compute"``, ``"ingress"``, ``"egress"`` or ``"feedback"``.
        rows_in: Rows received.
        rows_out: Rows sent.
        busy_s: Seconds in callbacks, summed over the workers.
        state_bytes: About how much declared state it holds, summed over the workers.
    """

    name: str
    label: str
    kind: str
    rows_in: int
    rows_out: int
    busy_s: float
    state_bytes: int = 0


@dataclass(frozen=True)
class Checkpointing:
    """How a job is made to survive the loss of its workers.

    Attributes:
        store: Where checkpoints are kept: ``"dir:PATH"``, ``"redis://HOST:PORT/DB"``; see `limnad.store.open_store`.
            Empty: in the cluster's own store, if it has one.
        name: The job's name there; by default that of its file. In the cluster's store: the job's name at all.
        every_s: Seconds from one checkpoint to the next; None: only when asked for.
        every_epochs: A checkpoint after so many complete epochs, too; None: not by epochs.
        timeout_s: After how long a checkpoint is given up; None: the default.
        keep: How many are kept; None: the default.
        resume: Go on from the newest one. Without it, checkpoints of an earlier run are refused, never overwritten.
        max_restarts: How often the job is started again within ``restart_window_s``; None: the default.
        restart_window_s: For how long a restart counts; None: the default.
        delivery: When readers get an epoch of an output: ``"eager"``, at once; ``"committed"``, when a durable
            checkpoint covers it, so that nobody ever sees what might be computed again.
    """

    store: str = ""
    name: str = ""
    every_s: float | None = 10.0
    every_epochs: int | None = None
    timeout_s: float | None = None
    keep: int | None = None
    resume: bool = False
    max_restarts: int | None = None
    restart_window_s: float | None = None
    delivery: str = "eager"

    def fields(self) -> dict[str, Any]:
        """Those of a `SubmitRequest`."""
        return {
            "store": self.store,
            "name": self.name,
            "checkpoint_interval_s": self.every_s or 0.0,
            "checkpoint_epochs": self.every_epochs or 0,
            "checkpoint_timeout_s": self.timeout_s or 0.0,
            "keep": self.keep or 0,
            "resume": self.resume,
            "max_restarts": self.max_restarts or 0,
            "restart_window_s": self.restart_window_s or 0.0,
            "delivery": self.delivery,
        }


@dataclass(frozen=True)
class CheckpointPhases:
    """How many seconds a checkpoint took; of each phase those of the slowest worker.

    Attributes:
        stop_s: Workers stand still: from the last callback until the outgoing buffers are empty.
        markers_s: From then on until every peer's marker is here, and with it all that was in flight.
        references_s: While references to all state are taken.
        encode_s: Workers run on and, on another thread, encode what has changed,
        upload_s: name it by its content and hand it to the store.
        commit_s: All workers' parts are stored and the checkpoint is made durable.
        total_s: From the first word to the end of the commit.
    """

    stop_s: float
    markers_s: float
    references_s: float
    encode_s: float
    upload_s: float
    commit_s: float
    total_s: float


@dataclass(frozen=True)
class RecoveryStatus:
    """What became of a job's checkpoints and workers.

    Attributes:
        generation: Which run of the job this is.
        restarts: How often it was started again since it was submitted.
        last_fault: Why, the last time.
        checkpoint: The newest durable one; None: there is none.
        committed: How many have become durable.
        dropped: How many have been given up.
        last_drop: Why, the last time.
        halted_s: Seconds that the slowest worker stood still for the newest one.
        stored_s: Seconds that the slowest worker took to store it, running on.
        stored_bytes: What all workers stored for it.
        phases: How long each phase of it took; None: there is none.
        waiting: What waits for the store, and why; empty: nothing.
        checkpoint_s: When the newest durable one was made: Unix time; None: that is not known.
        dropping: Whether the last one was given up.
    """

    generation: int
    restarts: int
    last_fault: str
    checkpoint: int | None
    committed: int
    dropped: int
    last_drop: str
    halted_s: float
    stored_s: float
    stored_bytes: int
    phases: CheckpointPhases | None
    waiting: str = ""
    checkpoint_s: float | None = None
    dropping: bool = False


@dataclass(frozen=True)
class JobStatus:
    """How a job is doing.

    Attributes:
        state: ``"starting"``, ``"running"``, ``"recovering"``, ``"finished"``, ``"failed"`` or ``"cancelled"``.
        epoch: The first epoch that is not complete; None before it is known and when all are.
        starting_s: Seconds from the submission until the engines ran.
        running_s: Seconds since then, or until the end.
        stages: By stage, in the order of the flow.
        queued_bytes: What waits undelivered, on all workers together.
        in_flight_bytes: What was sent and has not arrived.
        waiting_workers: Workers whose sources wait because too much is undelivered.
        data_bytes: What workers sent each other.
        progress_bytes: What of progress updates workers sent each other, or to and from the coordinator.
        progress_updates: How many there were in it.
        probes: For each probe the first epoch that is not complete there; None when all are.
        outputs: The names of the job's outputs.
        inputs: The names of its hand-fed inputs.
        recovery: Checkpoints and restarts.
        failure: Why it failed.
        job: Its name.
        width: How many workers; 0: that is not decided yet.
        path: The job file.
        submitted_s: When it was submitted: Unix time, in seconds.
        ended_s: When it ended; None: it has not.
        draining: Whether its inputs have been told to end.
        durable: Whether it keeps checkpoints.
        owner: Whose it is, such as an object of Kubernetes; empty: nobody's.
        pins: By name, the checkpoints that are kept.
        held: Whether one of them is the only one that there is to be.
        asked_width: With how many workers it was submitted; 0: as many as there are.
    """

    state: str
    epoch: int | None
    starting_s: float
    running_s: float
    stages: list[StageStatus]
    queued_bytes: int
    in_flight_bytes: int
    waiting_workers: int
    data_bytes: int
    progress_bytes: int
    progress_updates: int
    probes: dict[str, int | None]
    outputs: list[str]
    inputs: list[str]
    recovery: RecoveryStatus
    failure: JobFailed | None = field(default=None, compare=False)
    job: str = ""
    width: int = 0
    path: str = ""
    submitted_s: float = 0.0
    ended_s: float | None = None
    draining: bool = False
    durable: bool = False
    owner: str = ""
    pins: Mapping[str, int] = field(default_factory=dict)
    held: bool = False
    asked_width: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more, unless it is restored."""
        return self.state in ("finished", "failed", "cancelled")

    @property
    def rows_in(self) -> int:
        """Rows that sources have read."""
        return sum(stage.rows_out for stage in self.stages if stage.kind == "input")

    @property
    def rows_out(self) -> int:
        """Rows that have reached an output."""
        return sum(stage.rows_in for stage in self.stages if stage.name.startswith(("output ", "write ", "subscribe")))


@dataclass(frozen=True)
class CheckpointInfo:
    """A complete checkpoint of a job.

    Attributes:
        checkpoint: Its number.
        made_s: When: Unix time, in seconds.
        epoch: The first epoch that was not complete; None: all were.
        workers: How many workers there were.
        generation: Which run of the job made it.
        bytes: Of all that it refers to.
    """

    checkpoint: int
    made_s: float
    epoch: int | None
    workers: int
    generation: int
    bytes: int


def status_of(view: jobs_pb2.JobView) -> JobStatus:
    """What an agent's view of a job says."""
    state = jobs_pb2.JobState.Name(view.state).removeprefix("JOB_STATE_").lower()
    failure = None
    if view.HasField("failure"):
        failure = JobFailed(view.failure.summary, view.failure.traceback)
    known = [worker for worker in view.workers if worker.frontiers_known]
    epochs = [worker.epoch for worker in known if worker.HasField("epoch")]
    stages = [
        StageStatus(
            stage.name,
            stage.label,
            stage.kind,
            sum(worker.stages[number].rows_in for worker in view.workers if worker.stages),
            sum(worker.stages[number].rows_out for worker in view.workers if worker.stages),
            sum(worker.stages[number].busy_us for worker in view.workers if worker.stages) / 1e6,
            sum(worker.stages[number].state_bytes for worker in view.workers if worker.stages),
        )
        for number, stage in enumerate(view.stages)
    ]
    return JobStatus(
        state=state,
        epoch=max(epochs) if epochs and view.state not in ENDED else None,
        starting_s=view.starting_us / 1e6,
        running_s=view.running_us / 1e6,
        stages=stages,
        queued_bytes=sum(worker.queued_bytes for worker in view.workers),
        in_flight_bytes=sum(worker.in_flight_bytes for worker in view.workers),
        waiting_workers=sum(worker.waiting_for_credit for worker in view.workers),
        data_bytes=sum(worker.data_bytes for worker in view.workers),
        progress_bytes=sum(worker.progress_bytes for worker in view.workers),
        progress_updates=sum(worker.progress_updates for worker in view.workers),
        probes=_probes(view, known),
        outputs=[output.name for output in view.outputs],
        inputs=list(view.inputs),
        recovery=RecoveryStatus(
            generation=view.generation,
            restarts=view.restarts,
            last_fault=view.last_fault,
            checkpoint=view.checkpoint or None,
            committed=view.checkpoints_committed,
            dropped=view.checkpoints_dropped,
            last_drop=view.last_drop,
            halted_s=_slowest(told.stop_us + told.markers_us + told.references_us for told in view.checkpoint_phases),
            stored_s=_slowest(told.encode_us + told.upload_us for told in view.checkpoint_phases),
            stored_bytes=sum(told.stored_bytes for told in view.checkpoint_phases),
            phases=_phases(view.checkpoint_phases),
            waiting=view.waiting,
            checkpoint_s=next((each.at_s for each in reversed(view.checkpoint_history) if not each.dropped), None),
            dropping=bool(view.checkpoint_history and view.checkpoint_history[-1].dropped),
        ),
        failure=failure,
        job=view.job,
        width=view.width,
        path=view.path,
        submitted_s=view.submitted_s,
        ended_s=view.ended_s or None,
        draining=view.draining,
        durable=view.durable,
        owner=view.owner,
        pins={pin.name: pin.checkpoint for pin in view.pins},
        held=any(pin.hold for pin in view.pins),
        asked_width=view.asked_width,
    )


def _slowest(times_us: Iterable[int]) -> float:
    return max(times_us, default=0) / 1e6


def _phases(told: Sequence[control_pb2.CheckpointPhases]) -> CheckpointPhases | None:
    if not told:
        return None
    return CheckpointPhases(
        stop_s=_slowest(each.stop_us for each in told),
        markers_s=_slowest(each.markers_us for each in told),
        references_s=_slowest(each.references_us for each in told),
        encode_s=_slowest(each.encode_us for each in told),
        upload_s=_slowest(each.upload_us for each in told),
        commit_s=_slowest(each.commit_us for each in told),
        total_s=_slowest(each.total_us for each in told),
    )


def _probes(view: jobs_pb2.JobView, known: list[control_pb2.Status]) -> dict[str, int | None]:
    """What any worker knows of a frontier holds for all: the furthest one counts."""
    if not known:
        return {}
    furthest: dict[str, int | None] = {}
    for name in view.probes:
        epochs = [worker.probes.get(name) for worker in known]
        furthest[name] = None if None in epochs else max(epoch for epoch in epochs if epoch is not None)
    return furthest
