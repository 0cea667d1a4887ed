"""The source partitions that one worker reads, each with its own capability and position."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from limnad.batch import size_bytes
from limnad.cluster.alignment import USUAL_LIMITS, AheadLimits, Lead
from limnad.timely.graph import LogicalGraph, Stage, StageKind
from limnad.timely.scheduler import Scheduler
from limnad.timely.snapshot import PartitionState
from limnad.timely.source import (
    Answer,
    Cut,
    End,
    Idle,
    PartitionKey,
    Reader,
    Rows,
    Source,
    SteadySource,
    TimedReader,
    TimedSource,
)


class SourceFailure(Exception):
    """A source raised while it was opened or read; the cause is what it raised.

    Attributes:
        stage: The input stage.
        partition: Which of its partitions.
    """

    def __init__(self, stage: str, partition: str) -> None:
        super().__init__(f"input {stage!r} failed on partition {partition!r}")
        self.stage, self.partition = stage, partition


@dataclass(slots=True)
class Partition:
    """One open partition: it holds its stage's capability for `epoch`.

    Attributes:
        stage: Of which input.
        name: The source's name for it.
        reader: Reads it.
        epoch: Where it stands.
        asleep: Whether it had nothing.
        retry_s: After how long it may have.
        logs: Whether its cuts have to be logged.
        known: The newest epoch whose cut is in the log; None: the end is.
        held: An answer that may be taken when its cut is in the log, and that cut.
        durable: Whether it is.
        lead: How far it is ahead of others, if it waits for them.
        entered: Which epoch of the job is the reader's first. Cuts, known ones too, count as the reader does.
    """

    stage: Stage
    name: str
    reader: Reader
    epoch: int = 0
    asleep: bool = False
    retry_s: float | None = None
    logs: bool = False
    known: int | None = 0
    held: tuple[Answer, Cut] | None = None
    durable: bool = False
    lead: Lead | None = None
    entered: int = 0

    @property
    def key(self) -> PartitionKey:
        """Names it in the whole job."""
        return self.stage.name, self.name

    @property
    def awake(self) -> bool:
        """Whether it may be asked."""
        return self.durable if self.held is not None else not self.asleep

    def ask(self) -> Answer | Cut:
        """What it has, or which cut has to be logged before that can be said."""
        if self.held is not None:
            answer, self.held, self.durable = self.held[0], None, False
            return answer
        if not self.logs:
            return self.reader.read()
        before = self.reader.position()
        answer = self.reader.read()
        if self.known is None or isinstance(answer, Idle) or (isinstance(answer, Rows) and answer.epoch <= self.known):
            return answer
        cut = Cut(answer.epoch if isinstance(answer, Rows) else None, before)
        self.held, self.known = (answer, cut), cut.epoch
        return cut

    def end(self) -> Answer | Cut:
        """What `ask` says if there is nothing more to read; what has been read already comes first."""
        return End(self.epoch + 1 - self.entered) if self.held is None else self.ask()

    def state(self) -> PartitionState:
        """Where it stands."""
        position = self.reader.position() if self.held is None else self.held[1].position
        return PartitionState(self.epoch, position, self.entered)


@dataclass(slots=True)
class Inputs:
    """Reads the partitions of one worker, the one at the earliest epoch first.

    Partition ``i`` of a source belongs to worker ``i mod workers``.

    Attributes:
        graph: The job's.
        scheduler: What is fed.
        worker: Which worker this is.
        workers: How many there are.
        sources: By input stage.
        slowest: The earliest epoch of an input at which some partition may stand, whoever reads it; None: not known.
        cuts: All cuts of timed sources that are in their logs, each partition's in order; None: they have no logs.
        ahead: How far partitions that wait for each other may be apart.
    """

    graph: LogicalGraph
    scheduler: Scheduler
    worker: int
    workers: int
    sources: Mapping[str, Source]
    slowest: Callable[[Stage], int | None]
    cuts: Mapping[PartitionKey, Sequence[Cut]] | None = None
    ahead: AheadLimits = USUAL_LIMITS
    _open: list[Partition] = field(default_factory=list)
    _ended: dict[PartitionKey, PartitionState] = field(default_factory=dict)
    _turn: int = 0
    _cuts: list[tuple[PartitionKey, Cut]] = field(default_factory=list)
    _draining: frozenset[str] = frozenset()

    def open(self, restored: Mapping[PartitionKey, PartitionState] | None = None, epochs: int = 0) -> None:
        """Opens this worker's partitions and takes a capability for each, for the epoch at which it stands.

        Args:
            restored: Where the partitions stood at a checkpoint. One that is not among them has been found since, and
                enters at the earliest epoch that is open.
            epochs: How many epochs there were at that checkpoint. If all partitions had ended, all of these may be
                complete, and one that was found since enters behind them.

        Raises:
            SourceFailure: A source could not be opened.
        """
        restored = restored or {}
        earliest = min((state.epoch for state in restored.values() if state.position is not None), default=epochs)
        for stage in self.graph.stages:
            if stage.kind is not StageKind.INPUT:
                continue
            for number, name in enumerate(self.sources[stage.name].partitions()):
                if number % self.workers == self.worker:
                    self._open_partition(stage, name, restored.get((stage.name, name)), earliest)
        if self.cuts is not None:
            for partition in self._open:
                if is_timed(self.sources[partition.stage.name]):
                    self._repeat(partition, self.cuts.get(partition.key, ()))

    def _repeat(self, partition: Partition, cuts: Sequence[Cut]) -> None:
        partition.logs, partition.known = True, partition.epoch - partition.entered
        behind = [cut for cut in cuts if cut.epoch is None or cut.epoch > partition.known]
        if behind:
            partition.known = behind[-1].epoch
        cast(TimedReader, partition.reader).repeat(behind)

    def cut_logged(self, key: PartitionKey) -> None:
        """A cut that `take_cuts` gave is durable."""
        for partition in self._open:
            if partition.key == key:
                partition.durable = partition.held is not None

    def take_cuts(self) -> Sequence[tuple[PartitionKey, Cut]]:
        """Which cuts are to be logged, since the last call."""
        cuts, self._cuts = self._cuts, []
        return cuts

    def _open_partition(self, stage: Stage, name: str, state: PartitionState | None, earliest: int) -> None:
        if state is not None and state.position is None:
            self._ended[stage.name, name] = state
            return
        source = self.sources[stage.name]
        try:
            reader = source.open(name, None if state is None else state.position)
        except Exception as error:
            raise SourceFailure(stage.name, name) from error
        epoch, entered = (earliest, earliest) if state is None else (state.epoch, state.entered)
        lead = Lead(self.ahead) if isinstance(source, SteadySource) and source.steady else None
        self._open.append(Partition(stage, name, reader, epoch, lead=lead, entered=entered))
        self.scheduler.hold(stage, epoch)

    @property
    def readable(self) -> bool:
        """Whether some partition may be asked."""
        return any(self._may_be_asked(partition) for partition in self._open)

    def _may_be_asked(self, partition: Partition) -> bool:
        return partition.awake and not self._waits(partition)

    def _waits(self, partition: Partition) -> bool:
        """Whether it waits for another one of its source, which is far behind."""
        if partition.lead is None or not partition.lead.may_be_far or partition.stage.name in self._draining:
            return False
        slowest = self.slowest(partition.stage)
        return slowest is not None and partition.lead.is_far(slowest)

    @property
    def next_epoch(self) -> int:
        """The earliest epoch that an open partition stands at."""
        return min((partition.epoch for partition in self._open), default=0)

    @property
    def retry_s(self) -> float | None:
        """After how many seconds to `wake` the partitions that sleep; None: not by time."""
        return min((p.retry_s for p in self._open if p.asleep and p.retry_s is not None), default=None)

    def wake(self) -> None:
        """All partitions may be asked again."""
        for partition in self._open:
            partition.asleep = False

    def drain(self, stages: Iterable[str]) -> None:
        """The partitions of these inputs end where they stand, each when it is its turn to be read."""
        self._draining = frozenset(stages)
        self.wake()

    def read(self) -> bool:
        """Asks one partition; True if it had something to say."""
        awake = [partition for partition in self._open if self._may_be_asked(partition)]
        if not awake:
            return False
        self._turn += 1
        count = len(awake)
        partition = min((awake[(self._turn + i) % count] for i in range(count)), key=lambda p: p.epoch)
        try:
            answer = partition.end() if partition.stage.name in self._draining else partition.ask()
        except Exception as error:
            raise SourceFailure(partition.stage.name, partition.name) from error
        match answer:
            case Rows(number, batch):
                epoch = number + partition.entered
                self._advance(partition, epoch)
                if batch is not None:
                    if partition.lead is not None:
                        partition.lead.read(epoch, size_bytes(batch))
                    self.scheduler.feed(partition.stage, batch, epoch)
            case Cut():
                self._cuts.append((partition.key, answer))
                return self.readable
            case Idle(retry_s):
                partition.asleep, partition.retry_s = True, retry_s
                return self.readable
            case End(epochs):
                self.scheduler.open_epochs(epochs + partition.entered)
                self.scheduler.release(partition.stage, partition.epoch)
                partition.reader.close()
                self._open.remove(partition)
                self._ended[partition.stage.name, partition.name] = PartitionState(partition.epoch, None)
        return True

    def _advance(self, partition: Partition, epoch: int) -> None:
        if epoch < partition.epoch:
            raise SourceFailure(partition.stage.name, partition.name) from ValueError(
                f"the reader went back from epoch {partition.epoch} to {epoch}"
            )
        if epoch > partition.epoch:
            self.scheduler.open_epochs(epoch)
            self.scheduler.hold(partition.stage, epoch)
            self.scheduler.release(partition.stage, partition.epoch)
            partition.epoch = epoch

    def reader(self, input_name: str) -> Reader:
        """The reader of the one partition of an input that this worker reads.

        Raises:
            KeyError: The input is not there, has ended, or is read elsewhere.
        """
        for partition in self._open:
            if partition.stage.name == input_name:
                return partition.reader
        raise KeyError(f"no open input {input_name!r} on this worker: it is closed, or was never there")

    def capture(self) -> dict[PartitionKey, PartitionState]:
        """Where every partition stands, those that have ended included."""
        return self._ended | {partition.key: partition.state() for partition in self._open}

    def close(self) -> None:
        """Closes all readers."""
        for partition in self._open:
            partition.reader.close()


def is_timed(source: Source) -> bool:
    """Whether some of its epochs do not follow from positions."""
    return isinstance(source, TimedSource) and source.timed
