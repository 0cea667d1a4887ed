"""The source partitions that one worker reads, each with its own capability and position."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from limnad.timely.graph import LogicalGraph, Stage, StageKind
from limnad.timely.scheduler import Scheduler
from limnad.timely.snapshot import PartitionKey, PartitionState
from limnad.timely.source import End, Idle, Reader, Rows, Source


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
    """One open partition: it holds its stage's capability for `epoch`."""

    stage: Stage
    name: str
    reader: Reader
    epoch: int = 0
    asleep: bool = False
    retry_s: float | None = None


@dataclass(slots=True)
class Inputs:
    """Reads the partitions of one worker, the one at the earliest epoch first.

    Partition ``i`` of a source belongs to worker ``i mod workers``.
    """

    graph: LogicalGraph
    scheduler: Scheduler
    worker: int
    workers: int
    sources: Mapping[str, Source]
    _open: list[Partition] = field(default_factory=list)
    _ended: dict[PartitionKey, PartitionState] = field(default_factory=dict)
    _turn: int = 0
    _draining: bool = False

    def open(self, restored: Mapping[PartitionKey, PartitionState] | None = None) -> None:
        """Opens this worker's partitions and takes a capability for each, for the epoch at which it stands.

        Args:
            restored: Where the partitions stood at a checkpoint. One that is not among them has been found since, and
                enters at the earliest epoch that is open.

        Raises:
            SourceFailure: A source could not be opened.
        """
        restored = restored or {}
        earliest = min((state.epoch for state in restored.values() if state.position is not None), default=0)
        for stage in self.graph.stages:
            if stage.kind is not StageKind.INPUT:
                continue
            for number, name in enumerate(self.sources[stage.name].partitions()):
                if number % self.workers == self.worker:
                    self._open_partition(stage, name, restored.get((stage.name, name)), earliest)

    def _open_partition(self, stage: Stage, name: str, state: PartitionState | None, earliest: int) -> None:
        if state is not None and state.position is None:
            self._ended[stage.name, name] = state
            return
        try:
            reader = self.sources[stage.name].open(name, None if state is None else state.position)
        except Exception as error:
            raise SourceFailure(stage.name, name) from error
        epoch = earliest if state is None else state.epoch
        self._open.append(Partition(stage, name, reader, epoch))
        self.scheduler.hold(stage, epoch)

    @property
    def readable(self) -> bool:
        """Whether some partition is awake."""
        return any(not partition.asleep for partition in self._open)

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

    def drain(self) -> None:
        """All partitions end where they stand, each when it is its turn to be read."""
        self._draining = True
        self.wake()

    def read(self) -> bool:
        """Asks one partition; True if it had something to say."""
        awake = [partition for partition in self._open if not partition.asleep]
        if not awake:
            return False
        self._turn += 1
        count = len(awake)
        partition = min((awake[(self._turn + i) % count] for i in range(count)), key=lambda p: p.epoch)
        try:
            answer = End(partition.epoch + 1) if self._draining else partition.reader.read()
        except Exception as error:
            raise SourceFailure(partition.stage.name, partition.name) from error
        match answer:
            case Rows(epoch, batch):
                self._advance(partition, epoch)
                if batch is not None:
                    self.scheduler.feed(partition.stage, batch, epoch)
            case Idle(retry_s):
                partition.asleep, partition.retry_s = True, retry_s
                return self.readable
            case End(epochs):
                self.scheduler.open_epochs(epochs)
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
        return self._ended | {
            (partition.stage.name, partition.name): PartitionState(partition.epoch, partition.reader.position())
            for partition in self._open
        }

    def close(self) -> None:
        """Closes all readers."""
        for partition in self._open:
            partition.reader.close()
