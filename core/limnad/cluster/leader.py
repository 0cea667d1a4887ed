"""One run of a job, from its first engine to its last, as a state machine.

The leader is told what its engines say and what became of their processes; it answers with what they are to be told
and which of them to end. The way of a run:

    event                   STARTING                              RUNNING
    Attached(w)             all attached: Prepare to all, and     refused
                            Assign where there is a coordinator
    Built(w), Assigned(c)   all built and equal, and assigned:    refused
                            Start to all, -> RUNNING
    Finished(w)             refused                               all finished: Stop to all, -> FINISHED; with a store,
                                                                  first a last checkpoint: Conclude
    Concluded(w)            refused                               all: Stop to all, -> FINISHED
    Failed(w), Exited(w)    -> FAILED (for a broken link: after its cause was given time to show itself)
    Failed(w), Exited(w)    -> FAILED (for a broken link: after its cause was given time to show itself); w may be the
                            coordinator
    Cancel                  -> CANCELLED                          -> CANCELLED

When a process dies, its peers report broken links, often sooner than its death is known. Such a report is therefore
held back for `BLAME_S` seconds: if in that time a process exits or fails by itself, *that* is the run's failure.
"""

from dataclasses import dataclass, field
from enum import Enum

from limnad.cluster.effects import COORDINATOR, member
from limnad.timely.progress import Accumulation

BLAME_S = 2.0
"""How long a broken link waits for a better explanation; a death is known within milliseconds on a quiet machine."""


class State(Enum):
    """Where a run stands."""

    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self in (State.FINISHED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Attached:
    """An engine has connected; ``address`` is where its peers reach it."""

    worker: int
    address: str


@dataclass(frozen=True, slots=True)
class Built:
    """An engine has built the job's graph; ``stages`` are the names of its stages."""

    worker: int
    fingerprint: str
    stages: tuple[str, ...]
    graph: str = ""


@dataclass(frozen=True, slots=True)
class Appointed:
    """A coordinator: where it is reached, and which process it is."""

    address: str
    identity: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """A coordinator has taken the generation, and none but this one may sum for it."""

    coordinator: Appointed


@dataclass(frozen=True, slots=True)
class Finished:
    """An engine knows that nothing can happen any more."""

    worker: int


class Fault(Enum):
    """Whose fault a failure is."""

    JOB = "job"
    LINK = "link"
    ENGINE = "engine"
    PROCESS = "process"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes:
        fault: Whose fault it is.
        summary: What happened, in one paragraph.
        worker: Where, if one worker is to blame.
        traceback: The user's own frames and the exception; may be empty.
        stage: Where, if one stage is to blame.
    """

    fault: Fault
    summary: str
    worker: int | None = None
    traceback: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """An engine reports a failure, its own or a broken link."""

    worker: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Exited:
    """The process of an engine or the coordinator is gone; ``how`` says in words how it ended."""

    worker: int
    how: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody wants the run to end."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """The last checkpoint is durable, and a worker's sinks have shown all that it covers."""

    worker: int


Event = Attached | Built | Assigned | Finished | Failed | Exited | Cancel | Tick | Concluded


@dataclass(frozen=True, slots=True)
class SendPrepare:
    """Tell an engine to import the job and to build its graph."""

    worker: int


@dataclass(frozen=True, slots=True)
class Assign:
    """Assign the generation to a coordinator."""


@dataclass(frozen=True, slots=True)
class SendStart:
    """Tell an engine to connect to the members, by worker, and to the coordinator, if there is one, and to run."""

    worker: int
    members: tuple[str, ...]
    accumulation: Accumulation
    coordinator: Appointed | None = None


@dataclass(frozen=True, slots=True)
class SendStop:
    """Tell an engine that all have finished."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End an engine's process at once."""

    worker: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The run's state is another one now."""

    state: State


@dataclass(frozen=True, slots=True)
class Conclude:
    """All have finished: make a last checkpoint, so that what they have done is shown and never done again."""


Effect = SendPrepare | Assign | SendStart | SendStop | Kill | Changed | Conclude


@dataclass
class Run:
    """The leader's view of one run of one job.

    Attributes:
        workers: How many engines it has.
        accumulation: How they gather progress updates.
        concludes: Whether a last checkpoint is made when all have finished.
        graph: The fingerprint that a restored checkpoint demands of the graph; None: any.
        stages: The stages of the graph that made that checkpoint.
        state: Where it stands.
        failure: Why it failed, if it did.
    """

    workers: int
    accumulation: Accumulation = Accumulation.LOCAL
    concludes: bool = False
    graph: str | None = None
    stages: tuple[str, ...] = ()
    state: State = State.STARTING
    failure: Failure | None = None
    _addresses: dict[int, str] = field(default_factory=dict)
    _built: dict[int, Built] = field(default_factory=dict)
    _coordinator: Appointed | None = None
    _finished: set[int] = field(default_factory=set)
    _concluded: set[int] = field(default_factory=set)
    _gone: set[int] = field(default_factory=set)
    _suspected: Failure | None = None
    _suspected_since_s: float = 0.0

    @property
    def built_graph(self) -> str:
        """The fingerprint of the graph that the engines have built."""
        return self._built[0].graph

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Takes an event, at a monotonic time; returns what is to be done, in order."""
        if self.state.ended or self._refuses(event):
            return []
        match event:
            case Attached() | Built() | Assigned():
                return self._gather(event)
            case Finished(worker):
                return self._finish(worker)
            case Concluded(worker):
                self._concluded.add(worker)
                return self._stop() if len(self._concluded) == self.workers else []
            case Failed(worker, failure):
                return self._failed(worker, failure, now_s)
            case Exited(worker, how):
                self._gone.add(worker)
                return self._end(State.FAILED, self._died(worker, how))
            case Cancel():
                return self._end(State.CANCELLED, None)
            case Tick():
                return self._tick(now_s)

    def _refuses(self, event: Event) -> bool:
        """Whether the table above has no place for the event in this state: nothing comes of it."""
        if isinstance(event, (Finished, Concluded)):
            return self.state is not State.RUNNING
        return isinstance(event, (Attached, Built, Assigned)) and self.state is not State.STARTING

    def _gather(self, event: Attached | Built | Assigned) -> list[Effect]:
        match event:
            case Attached(worker, address):
                return self._attached(worker, address)
            case Built():
                return self._build(event)
            case Assigned(coordinator):
                self._coordinator = coordinator
                return self._start()

    def _attached(self, worker: int, address: str) -> list[Effect]:
        self._addresses[worker] = address
        if len(self._addresses) < self.workers:
            return []
        prepare: list[Effect] = [SendPrepare(each) for each in range(self.workers)]
        return [*prepare, Assign()] if self.accumulation.at_coordinator else prepare

    def _build(self, built: Built) -> list[Effect]:
        self._built[built.worker] = built
        if len(self._built) < self.workers:
            return []
        first = self._built[0]
        for other in self._built.values():
            if other.fingerprint != first.fingerprint:
                return self._end(State.FAILED, _disagreement(first, other))
        if self.graph is not None and first.graph != self.graph:
            return self._end(State.FAILED, _changed(self.stages, first))
        return self._start()

    def _start(self) -> list[Effect]:
        assigned = self._coordinator is not None or not self.accumulation.at_coordinator
        if len(self._built) < self.workers or not assigned:
            return []
        members = tuple(self._addresses[worker] for worker in range(self.workers))
        self.state = State.RUNNING
        starts = [SendStart(each, members, self.accumulation, self._coordinator) for each in range(self.workers)]
        return [*starts, Changed(State.RUNNING)]

    def _finish(self, worker: int) -> list[Effect]:
        self._finished.add(worker)
        if len(self._finished) < self.workers:
            return []
        return [Conclude()] if self.concludes else self._stop()

    def _stop(self) -> list[Effect]:
        self.state = State.FINISHED
        return [*(SendStop(each) for each in range(self.workers)), Changed(State.FINISHED)]

    def _failed(self, worker: int, failure: Failure, now_s: float) -> list[Effect]:
        if failure.fault is not Fault.LINK:
            return self._end(State.FAILED, failure)
        if self._suspected is None:
            self._suspected, self._suspected_since_s = failure, now_s
        return []

    def _tick(self, now_s: float) -> list[Effect]:
        if self._suspected is not None and now_s - self._suspected_since_s >= BLAME_S:
            return self._end(State.FAILED, self._suspected)
        return []

    def _end(self, state: State, failure: Failure | None) -> list[Effect]:
        self.state, self.failure = state, failure
        return [*(Kill(worker) for worker in range(self.workers) if worker not in self._gone), Changed(state)]

    def _died(self, worker: int, how: str) -> Failure:
        while_doing = {State.STARTING: "while the job was starting", State.RUNNING: "while the job was running"}
        return Failure(
            Fault.PROCESS,
            f"{member(worker)} died {while_doing[self.state]}: its process {how}.",
            None if worker == COORDINATOR else worker,
        )


def _changed(before: tuple[str, ...], now: Built) -> Failure:
    gone = [name for name in before if name not in now.stages]
    new = [name for name in now.stages if name not in before]
    said = [f"{what} {', '.join(map(repr, names))}" for what, names in (("gone:", gone), ("new:", new)) if names]
    differing = (
        f" ({'; '.join(said)})"
        if said
        else " (the stages are the same, but not how they are connected, or what its inputs are)"
    )
    return Failure(
        Fault.JOB,
        f"the job's dataflow is not the one that made the checkpoint{differing}: its state cannot be given back. "
        "Resume with the job as it was, or start it anew under another name or in an empty store.",
    )


def _disagreement(first: Built, other: Built) -> Failure:
    differing = [mine for mine, theirs in zip(first.stages, other.stages, strict=False) if mine != theirs]
    differing += sorted(set(first.stages) ^ set(other.stages))
    where = f" They differ at {', '.join(map(repr, dict.fromkeys(differing)))}." if differing else ""
    return Failure(
        Fault.JOB,
        f"worker {other.worker} built another dataflow than worker 0 from the same job.{where} Every process must "
        "describe the same flow: check for random numbers, the clock, the order of a set, or files that change while "
        "the job starts.",
        other.worker,
    )
