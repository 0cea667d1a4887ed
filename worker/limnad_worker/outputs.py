"""The epochs of a job's named outputs: which there are, and which may be read.

``eager`` outputs can be read at once. After a restart the same epochs come again; what is here already is dropped, so
a reader sees each epoch once for as long as the agent lives. ``committed`` outputs can be read when a durable
checkpoint covers them; what is not covered is forgotten at a restart. Either way each checkpoint keeps the newest
epochs, so that a new agent can give them to readers who have not seen them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from limnad.cluster.records import Blob, OutputRecord
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import exchange_pb2

KEPT_EPOCHS = 1000
"""How many epochs of each output a checkpoint keeps for readers who come late."""


class Delivery(Enum):
    """When readers get an epoch."""

    EAGER = "eager"
    COMMITTED = "committed"


@dataclass(slots=True)
class Outputs:
    """The epochs of all outputs of one job, in the order in which they came."""

    delivery: Delivery = Delivery.EAGER
    _epochs: list[wire.Output] = field(default_factory=list)
    _next: dict[str, int] = field(default_factory=dict)
    _committed: dict[str, int] = field(default_factory=dict)
    _readable: int = 0
    _records: dict[tuple[str, int], OutputRecord] = field(default_factory=dict)

    @property
    def readable(self) -> int:
        """How many of the epochs, counted over all outputs, can be read."""
        return len(self._epochs) if self.delivery is Delivery.EAGER else self._readable

    def read(self, start: int) -> Iterator[wire.Output]:
        """The readable epochs from the ``start``-th on."""
        for place in range(start, self.readable):
            yield self._epochs[place]

    def add(self, output: wire.Output) -> None:
        """An engine has published an epoch."""
        if output.epoch == self._next.get(output.name, output.epoch):
            self._epochs.append(output)
            self._next[output.name] = output.epoch + 1

    def restart(self) -> None:
        """A new generation begins: what no checkpoint covers will come again."""
        if self.delivery is Delivery.COMMITTED:
            del self._epochs[self._readable :]
            self._next = dict(self._committed)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def unsaved(self, published: Mapping[str, int]) -> list[wire.Output]:
        """What a checkpoint covers and no earlier one has kept; ``published`` are the epochs that it covers."""
        return [
            output
            for output in self._epochs
            if output.epoch < published.get(output.name, 0) and (output.name, output.epoch) not in self._records
        ]

    def save(self, outputs: list[wire.Output], chunk: str) -> None:
        """These epochs' payloads lie in a chunk, one behind the other."""
        start = 0
        for output in outputs:
            blob = Blob(chunk, start, len(output.payload), output.encoding) if output.payload else None
            self._records[output.name, output.epoch] = OutputRecord(output.name, output.epoch, output.rows, blob)
            start += len(output.payload)
        for name, epoch in list(self._records):
            if epoch < self._next.get(name, 0) - KEPT_EPOCHS:
                del self._records[name, epoch]

    @property
    def records(self) -> list[OutputRecord]:
        """What a checkpoint keeps."""
        return list(self._records.values())

    def commit(self, published: Mapping[str, int]) -> None:
        """A checkpoint that covers these epochs is durable."""
        for name, epochs in published.items():
            self._committed[name] = max(epochs, self._committed.get(name, 0))
        while self._readable < len(self._epochs):
            output = self._epochs[self._readable]
            if output.epoch >= self._committed.get(output.name, 0):
                break
            self._readable += 1

    def load(self, records: list[OutputRecord], chunks: Mapping[str, bytes]) -> None:
        """Takes over what a checkpoint has kept, into an empty log."""
        for record in records:
            blob = record.blob
            payload = b"" if blob is None else chunks[blob.chunk][blob.start : blob.start + blob.size]
            encoding = exchange_pb2.Encoding.Name(blob.encoding if blob else 0)
            self.add(
                wire.Output(name=record.name, epoch=record.epoch, rows=record.rows, encoding=encoding, payload=payload)
            )
            self._records[record.name, record.epoch] = record
        self.commit(dict(self._next))
