"""The epochs of a job's named outputs: which there are, and which may be read.

``eager`` outputs can be read at once. After a restart the same epochs come again; what is here already is dropped, so
a reader sees each epoch once for as long as the agent lives. ``committed`` outputs can be read when a durable
checkpoint covers them; what is not covered is forgotten at a restart. Either way each checkpoint keeps the newest
epochs, so that a new agent can give them to readers who have not seen them.

A job may run for months: what every reader has read goes when there is more than `KEPT_BYTES` of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from limnad.cluster.records import Blob, OutputRecord
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import exchange_pb2

KEPT_EPOCHS = 1000
"""How many epochs of each output a checkpoint keeps for readers who come late."""

KEPT_BYTES = 256 << 20
"""How much of a job's outputs is kept at least for readers who come late, if there was so much."""

EPOCH_BYTES = 500
"""What an epoch takes beside its rows."""


class Delivery(Enum):
    """When readers get an epoch."""

    EAGER = "eager"
    COMMITTED = "committed"


@dataclass(eq=False, slots=True)
class Reader:
    """Somebody who reads: what it has not read is kept."""

    _outputs: Outputs
    place: int
    _alone: list[wire.Output]

    @property
    def behind(self) -> bool:
        """Whether there is something that it can read."""
        return bool(self._alone) or self.place < self._outputs.readable

    def read(self) -> Iterator[wire.Output]:
        """The readable epochs that it has not read yet."""
        while self._alone:
            yield self._alone.pop(0)
        while self.behind:
            self.place += 1
            yield self._outputs.at(self.place - 1)


@dataclass(slots=True)
class Outputs:
    """The epochs of all outputs of one job, in the order in which they came.

    They are told apart by their places: the first that came has the place 0, though it may be here no longer.
    """

    delivery: Delivery = Delivery.EAGER
    kept_bytes: int = KEPT_BYTES
    _epochs: list[wire.Output] = field(default_factory=list)
    _first: int = 0
    _bytes: int = 0
    _alone: dict[str, wire.Output] = field(default_factory=dict)
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
    def _end(self) -> int:
        return self._first + len(self._epochs)

    def at(self, place: int) -> wire.Output:
        """The epoch at a place."""
        return self._epochs[place - self._first]

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Begins with the first epoch that is kept; what it has not read is kept until it is closed."""
        reader = Reader(self, self._first, list(self._alone.values()))
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)

    def add(self, output: wire.Output) -> None:
        """An engine has published an epoch."""
        if output.epoch == self._next.get(output.name, output.epoch):
            self._epochs.append(output)
            self._bytes += _size(output)
            self._alone.pop(output.name, None)
            self._next[output.name] = output.epoch + 1
            if self._bytes > self.kept_bytes + self.kept_bytes // 8:  # Not one by one: the others move up each time.
                self._drop()

    def _drop(self) -> None:
        last = min([self.readable, *(reader.place for reader in self._readers)])
        count = 0
        while self._bytes > self.kept_bytes and self._first + count < last:
            output = self._epochs[count]
            if output.epoch + 1 == self._next[output.name]:  # The newest of an output may be all of its answer.
                self._alone[output.name] = output
            self._bytes -= _size(output)
            count += 1
        del self._epochs[:count]
        self._first += count

    def restart(self) -> None:
        """A new generation begins: what no checkpoint covers will come again."""
        if self.delivery is Delivery.COMMITTED:
            self._bytes -= sum(map(_size, self._epochs[self._readable - self._first :]))
            del self._epochs[self._readable - self._first :]
            self._past = min(self._past, self._readable)
            self._next = dict(self._committed)
            for name, epoch in list(self._records):
                if epoch >= self._committed.get(name, 0):
                    del self._records[name, epoch]

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def unsaved(self, published: Mapping[str, int]) -> list[wire.Output]:
        """What a checkpoint has to keep and no earlier one has kept; ``published`` are the epochs that it covers."""
        self._past = max(self._past, self._first)
        while self._past < self._end and self._is_past(self.at(self._past).name, self.at(self._past).epoch):
            self._past += 1
        return [
            output
            for output in self._epochs[self._past - self._first :]
            if output.epoch < published.get(output.name, 0)
            and (output.name, output.epoch) not in self._records
            and not self._is_past(output.name, output.epoch)
        ]

    def _is_past(self, name: str, epoch: int) -> bool:
        return epoch < self._next.get(name, 0) - KEPT_EPOCHS

    def save(self, outputs: list[wire.Output], chunk: str) -> None:
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
        self._readable = max(self._readable, self._first)
        while self._readable < self._end:
            output = self.at(self._readable)
            if output.epoch >= self._committed.get(output.name, 0):
                break
            self._readable += 1

    def load(self, records: list[OutputRecord], chunks: Mapping[str, bytes]) -> None:
        """Takes over what a checkpoint has kept, and is not here yet."""
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
        self.commit(
            kept
        )  # No more than that: a job that has ended and is restored may have others, which are not sure.


def _size(output: wire.Output) -> int:
    return EPOCH_BYTES + len(output.payload)
