"""The epochs of a job's named outputs: which there are, and which may be read.

``eager`` outputs can be read at once. After a restart the same epochs come again; what is here already is dropped, so
a reader sees each epoch once for as long as the agent lives. ``committed`` outputs can be read when a durable
checkpoint covers them; what is not covered is forgotten at a restart. Either way each checkpoint keeps the newest
epochs, so that a new agent can give them to readers who have not seen them.

A job may run for months: what every reader has read goes when there is more than `KEPT_BYTES` of it, and what one has
not read when there is more than `WAITING_BYTES`, for it may never read on. Of all jobs that have ended `ENDED_BYTES`
are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from enum import Enum

from limnad.cluster.records import Blob, OutputRecord
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import exchange_pb2

KEPT_EPOCHS = 1000
"""How many epochs of each output a checkpoint keeps for readers who come late."""

KEPT_BYTES = 256 << 20
"""How much of a job's outputs is kept at least for readers who come late, if there was so much."""

WAITING_BYTES = 1 << 30
"""How much of a job's outputs is kept for readers that are slow. Who is slower misses epochs, and is told so: a reader
that has stopped must not take the memory of the leader of all jobs."""

ENDED_BYTES = 256 << 20
"""How much of the outputs of jobs that have ended is kept, of all of them together, and whatever the newest one has."""

EPOCH_BYTES = 200
"""What an epoch takes beside its rows."""


class Delivery(Enum):
    """When readers get an epoch."""

    EAGER = "eager"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of an output; see `control.proto`. As a message it would take several times as much memory."""

    name: str
    epoch: int
    rows: int
    encoding: int
    payload: bytes

    @classmethod
    def of(cls, output: wire.Output) -> Epoch:
        """What a message says."""
        return cls(sys.intern(output.name), output.epoch, output.rows, output.encoding, output.payload)

    def message(self) -> wire.Output:
        """For readers."""
        encoding = exchange_pb2.Encoding.Name(self.encoding)
        return wire.Output(name=self.name, epoch=self.epoch, rows=self.rows, encoding=encoding, payload=self.payload)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return EPOCH_BYTES + len(self.payload)


@dataclass(eq=False, slots=True)
class Reader:
    """Somebody who reads: what it has not read is kept, if it is not too much."""

    _outputs: Outputs
    place: int
    _alone: list[Epoch]

    @property
    def behind(self) -> bool:
        """Whether there is something that it can read."""
        return bool(self._alone) or self.place < self._outputs.readable

    def read(self) -> Iterator[wire.Output]:
        """The readable epochs that it has not read yet."""
        while self.behind:
            if self.place < self._outputs.first:  # It was too slow.
                self.place, self._alone = self._outputs.first, self._outputs.alone
            elif self._alone:
                yield self._alone.pop(0).message()
            else:
                self.place += 1
                yield self._outputs.at(self.place - 1).message()


@dataclass(slots=True)
class Outputs:
    """The epochs of all outputs of one job, in the order in which they came.

    They are told apart by their places: the first that came has the place 0, though it may be here no longer.

    Attributes:
        delivery: When readers get an epoch.
        kept_bytes: See `KEPT_BYTES`.
        waiting_bytes: See `WAITING_BYTES`.
        first: The place of the first one that is here.
        nbytes: About how much memory they take.
        gone: Whether there were some, and they were let go of because the job has ended.
    """

    delivery: Delivery = Delivery.EAGER
    kept_bytes: int = KEPT_BYTES
    waiting_bytes: int = WAITING_BYTES
    first: int = 0
    nbytes: int = 0
    gone: bool = False
    _epochs: list[Epoch] = field(default_factory=list)
    _alone: dict[str, Epoch] = field(default_factory=dict)
    _readers: set[Reader] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)
    _committed: dict[str, int] = field(default_factory=dict)
    _readable: int = 0
    _past: int = 0
    _records: dict[tuple[str, int], OutputRecord] = field(default_factory=dict)

    @property
    def readable(self) -> int:
        """The place behind the last one that can be read."""
        return self._end if self.delivery is Delivery.EAGER else self._readable

    @property
    def epochs(self) -> int:
        """The first epoch of which no output has been put out."""
        return max(self._next.values(), default=0)

    @property
    def _end(self) -> int:
        return self.first + len(self._epochs)

    def at(self, place: int) -> Epoch:
        """The epoch at a place."""
        return self._epochs[place - self.first]

    @property
    def alone(self) -> list[Epoch]:
        """The newest of each output that has none behind `first`."""
        return list(self._alone.values())

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Begins with the first epoch that is kept; what it has not read is kept until it is closed."""
        reader = Reader(self, self.first, self.alone)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)

    def add(self, output: wire.Output) -> None:
        """An engine has published an epoch."""
        if output.epoch == self._next.get(output.name, output.epoch):
            epoch = Epoch.of(output)
            self._epochs.append(epoch)
            self.nbytes += epoch.nbytes
            self._alone.pop(output.name, None)
            self._next[output.name] = output.epoch + 1
            if self.nbytes > self.kept_bytes + self.kept_bytes // 8:  # Not one by one: the others move up each time.
                self._drop()

    def _drop(self) -> None:
        self._let_go(self.kept_bytes, min([self.readable, *(reader.place for reader in self._readers)]))
        if self.nbytes > self.waiting_bytes:
            self._let_go(self.waiting_bytes - self.waiting_bytes // 8, self.readable)

    def _let_go(self, down_to: int, last: int) -> None:
        count = 0
        while self.nbytes > down_to and self.first + count < last:
            output = self._epochs[count]
            if output.epoch + 1 == self._next[output.name]:  # The newest of an output may be all of its answer.
                self._alone[output.name] = output
            self.nbytes -= output.nbytes
            count += 1
        del self._epochs[:count]
        self.first += count

    @property
    def is_read(self) -> bool:
        """Whether somebody reads just now."""
        return bool(self._readers)

    def forget(self) -> None:
        """The job has ended, and others have since: all that is here goes."""
        empty = Outputs(self.delivery, self.kept_bytes, self.waiting_bytes, gone=True)
        for each in fields(self):
            setattr(self, each.name, getattr(empty, each.name))

    def restart(self) -> None:
        """A new generation begins: what no checkpoint covers will come again."""
        if self.delivery is Delivery.COMMITTED:
            self.nbytes -= sum(epoch.nbytes for epoch in self._epochs[self._readable - self.first :])
            del self._epochs[self._readable - self.first :]
            self._past = min(self._past, self._readable)
            self._next = dict(self._committed)
            for name, epoch in list(self._records):
                if epoch >= self._committed.get(name, 0):
                    del self._records[name, epoch]

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def unsaved(self, published: Mapping[str, int]) -> list[Epoch]:
        """What a checkpoint has to keep and no earlier one has kept; ``published`` are the epochs that it covers."""
        self._past = max(self._past, self.first)
        while self._past < self._end and self._is_past(self.at(self._past).name, self.at(self._past).epoch):
            self._past += 1
        return [
            output
            for output in self._epochs[self._past - self.first :]
            if output.epoch < published.get(output.name, 0)
            and (output.name, output.epoch) not in self._records
            and not self._is_past(output.name, output.epoch)
        ]

    def _is_past(self, name: str, epoch: int) -> bool:
        return epoch < self._next.get(name, 0) - KEPT_EPOCHS

    def save(self, outputs: Sequence[Epoch], chunk: str) -> None:
        """These epochs' payloads lie in a chunk, one behind the other."""
        start = 0
        for output in outputs:
            blob = Blob(chunk, start, len(output.payload), output.encoding) if output.payload else None
            self._records[output.name, output.epoch] = OutputRecord(output.name, output.epoch, output.rows, blob)
            start += len(output.payload)
        for name, epoch in list(self._records):
            if self._is_past(name, epoch):
                del self._records[name, epoch]

    def lose(self, chunks: Collection[str]) -> None:
        """What lies in these chunks is gone: the next checkpoint stores it again, as far as it is still here."""
        for key, record in list(self._records.items()):
            if record.blob is not None and record.blob.chunk in chunks:
                del self._records[key]

    @property
    def records(self) -> list[OutputRecord]:
        """What a checkpoint keeps."""
        return list(self._records.values())

    def commit(self, published: Mapping[str, int]) -> None:
        """A checkpoint that covers these epochs is durable."""
        for name, epochs in published.items():
            self._committed[name] = max(epochs, self._committed.get(name, 0))
        self._readable = max(self._readable, self.first)
        while self._readable < self._end:
            output = self.at(self._readable)
            if output.epoch >= self._committed.get(output.name, 0):
                break
            self._readable += 1

    def load(self, records: list[OutputRecord], chunks: Mapping[str, bytes]) -> None:
        """Takes over what a checkpoint has kept, and is not here yet."""
        self.gone = False
        kept: dict[str, int] = {}
        for record in records:
            blob = record.blob
            payload = b"" if blob is None else chunks[blob.chunk][blob.start : blob.start + blob.size]
            encoding = exchange_pb2.Encoding.Name(blob.encoding if blob else 0)
            self.add(
                wire.Output(name=record.name, epoch=record.epoch, rows=record.rows, encoding=encoding, payload=payload)
            )
            self._records[record.name, record.epoch] = record
            kept[record.name] = max(record.epoch + 1, kept.get(record.name, 0))
        self.commit(kept)  # And no more: a job that has ended and is restored may have others, which are not sure.


def make_room(ended: Sequence[Outputs], room: int = ENDED_BYTES) -> None:
    """Lets go of outputs of jobs that have ended, until the others take no more than that.

    Args:
        ended: The outputs of each, the newest first: those stay. So does what is being read.
        room: See `ENDED_BYTES`.
    """
    for place, outputs in enumerate(ended):
        size = outputs.nbytes + sum(epoch.nbytes for epoch in outputs.alone)
        if place and size > max(room, 0) and not outputs.is_read:
            outputs.forget()
        else:
            room -= size
