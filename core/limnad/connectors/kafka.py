"""Kafka topics as source and as sink.

**Source**: each partition of the topic is one of the source; a position is an offset.

**Sink**: a message for each row. Rows are staged in the checkpoint itself; a commit is one transaction. A transaction
alone is not exactly-once: who restores a checkpoint cannot know whether the commit of what it lists came about. So
each message says in its header whose row it is, and a restore reads the topic from where it stood when the rows were
staged, and sends what is missing. That needs no offsets of a consumer group, which Kafka forgets in time.

A producer's transactional id is made of job, sink and worker, and Kafka lets only the newest with an id commit: before
a restore reads, it registers the ids of all writers whose rows it settles, which ends their open transactions.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from limnad.connectors.epochs import EpochRule
from limnad.connectors.exactly_once import Covered, Fenced, LostOutput, Staged, Writer
from limnad.connectors.row_epochs import PartitionEpochs, RowEpochs
from limnad.errors import ClusterError, InputError, JobError
from limnad.timely.source import Answer, Cut, End, Idle, Position, Rows

RETRY_S: Final = 0.02
"""How often a partition that had nothing is looked at again; the client fetches ahead meanwhile."""

PATIENCE_S: Final = 60.0
"""For one answer of the brokers; as long as a transaction may stay open by default."""

LOOK_S: Final = 300.0
"""How often a sink looks how far its topic has grown. A restore reads it from there on, so what is older may go."""

LOOK_PATIENCE_S: Final = 1.0
"""For one answer of the brokers then: the job stands still, and can do without."""

HEADER: Final = "limnad"
"""Of each message: ``job/sink/generation/worker/epoch/number``."""

EPOCH_HEADER: Final = "epoch"
"""Likewise: with eager delivery the same epoch may come again, under the same number."""

_FENCED: Final = (
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
)
_GONE: Final = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)

Options = Mapping[str, str | int | float | bool]
"""Settings of librdkafka, such as those of TLS and SASL."""


@contextlib.contextmanager
def _explained(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        told: KafkaError = error.args[0]
        if told.code() in _FENCED:
            raise Fenced(f"the topic {topic!r} is written by a newer generation ({told.str()})") from None
        raise ClusterError(f"the Kafka of the topic {topic!r} does not do what it is asked to: {told.str()}") from error


def _consumer(servers: str, options: Options) -> Consumer:
    return Consumer(
        {
            "group.id": "limnad",  # Never joined: offsets are kept in checkpoints.
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            **options,
            "bootstrap.servers": servers,
        }
    )


class KafkaTopic:
    """Messages of a topic: with a schema, JSON objects as frames; else records ``{"key": ..., "value": ...}`` of bytes.

    Args:
        servers: ``"HOST:PORT,..."``.
        topic: Its name.
        schema: Columns and types of the JSON objects.
        epochs: `by_time` or `by_rows`; by default an epoch each second.
        batch_rows: At most so many messages make a batch.
        follow: Wait for new messages for ever; else read those that were there when the source was opened.
        options: See `Options`.

    Raises:
        InputError: There is no such topic.
        ClusterError: No broker answers.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        schema: pl.Schema | None = None,
        epochs: EpochRule | None = None,
        batch_rows: int = 10_000,
        follow: bool = True,
        options: Options | None = None,
    ) -> None:
        self.servers = servers
        self.topic = topic
        self.schema = None if schema is None else pl.Schema(schema)
        self.epochs = RowEpochs(epochs)
        self.batch_rows = batch_rows
        self.follow = follow
        self.options = dict(options or {})
        with _explained(topic), contextlib.closing(self.consumer()) as consumer:
            found = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic]
        if found.error is not None:
            raise InputError(f"the topic {topic!r} cannot be read: {found.error.str()}")
        self._partitions = [str(number) for number in sorted(found.partitions)]

    def consumer(self) -> Consumer:
        """A new client."""
        return _consumer(self.servers, self.options)

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return self._partitions

    def open(self, partition: str, position: Position | None) -> KafkaReader:
        """See `limnad.timely.source.Source`."""
        return KafkaReader(self, int(partition), position)

    @property
    def timed(self) -> bool:
        """See `limnad.timely.source.TimedSource`."""
        return self.epochs.timed

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return self.topic

    def parse(self, messages: Sequence[Message]) -> Any:
        """Messages as a batch.

        Raises:
            InputError: One is not what the schema says.
        """
        if self.schema is None:
            return [{"key": message.key(), "value": message.value()} for message in messages]
        try:
            return _frame([message.value() for message in messages], self.schema)
        except (pl.exceptions.PolarsError, UnicodeDecodeError):
            for message in messages:
                try:
                    _frame([message.value()], self.schema)
                except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
                    raise InputError(
                        f"the topic {self.topic!r}, partition {message.partition()}, offset {message.offset()} is no "
                        f"JSON object of the schema: {message.value()!r:.200}"
                    ) from error
            raise


def _frame(values: Sequence[bytes | str | None], schema: pl.Schema) -> pl.DataFrame:
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    rows = pl.Series("rows", texts, dtype=pl.String).str.json_decode(pl.Struct(dict(schema)))
    return rows.struct.unnest()


class KafkaReader:
    """Reads one partition."""

    def __init__(self, source: KafkaTopic, partition: int, position: Position | None) -> None:
        self._source = source
        self._consumer = source.consumer()
        self._epochs = PartitionEpochs(source.epochs, position)
        with _explained(source.topic):
            low, high = _watermarks(self._consumer, source.topic, partition)
            self._offset = low if position is None else int(position["offset"])
            self._end = None if source.follow else high if position is None else int(position["end"])
            self._consumer.assign([TopicPartition(source.topic, partition, self._offset)])
        if self._offset < low:
            raise self._gone()

    def repeat(self, cuts: Sequence[Cut]) -> None:
        """See `limnad.timely.source.TimedReader`."""
        self._epochs.repeat(cuts)

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`.

        Raises:
            InputError: A message is not what the schema says, or is gone.
            ClusterError: Kafka refuses.
        """
        source = self._source
        epoch = self._epochs.next()
        messages = self._messages(self._epochs.room(source.batch_rows))
        if messages:
            self._epochs.read(epoch, len(messages))
            return Rows(epoch, source.parse(messages))
        if self._end is not None and self._offset >= self._end:
            return End(self._epochs.epoch + 1)
        if source.follow and epoch > self._epochs.epoch:
            self._epochs.read(epoch, 0)
            return Rows(epoch)
        return Idle(RETRY_S)

    def _messages(self, count: int) -> list[Message]:
        if self._end is not None and self._offset >= self._end:
            return []
        with _explained(self._source.topic):
            heard = self._consumer.consume(count, timeout=0)
        messages = []
        for message in heard:
            offset = message.offset() or 0
            if (error := message.error()) is None:
                if self._end is None or offset < self._end:
                    messages.append(message)
                self._offset = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._offset = max(self._offset, offset)  # What lies before it are marks of transactions.
            elif error.code() in _GONE:
                raise self._gone()
            elif error.fatal() or not error.retriable():
                raise ClusterError(f"the Kafka of the topic {self._source.topic!r} says: {error.str()}")
        return messages

    def _gone(self) -> InputError:
        return InputError(
            f"the topic {self._source.topic!r} has deleted messages from offset {self._offset} on before they were "
            "read: keep them longer (retention.ms, retention.bytes), or start the job anew"
        )

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        place: Position = {"offset": self._offset, **self._epochs.position()}
        return place if self._end is None else {**place, "end": self._end}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""
        self._consumer.close()


def _watermarks(consumer: Consumer, topic: str, partition: int, patience_s: float = PATIENCE_S) -> tuple[int, int]:
    found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=patience_s, cached=False)
    if found is None:
        raise ClusterError(f"the Kafka of the topic {topic!r} does not answer: see whether it can be reached")
    low, high = found
    return low, high


Row = tuple[bytes | None, bytes]
"""A message's key and value."""


class KafkaTarget:
    """A topic that rows are sent to; see the module.

    Args:
        servers: ``"HOST:PORT,..."``.
        topic: Its name; it exists.
        key: The column (of records: the field) whose text is the message's key; None: messages have none.
        records: Whether batches are lists of records.
        options: See `Options`.
        clock: Seconds; for tests.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        key: str | None = None,
        *,
        records: bool = False,
        options: Options | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = servers
        self._topic = topic
        self._key = key
        self._records = records
        self._options = dict(options or {})
        self._floor: dict[int, int] = {}
        self._clock = clock
        self._look_s = 0.0
        self._fenced: set[int] = set()

    def open(self, writer: Writer) -> None:
        """See `Target.open`.

        Raises:
            ClusterError: No broker answers, or there is no such topic.
        """
        self._writer = writer
        self._prefix = f"{writer.job}/{writer.stage}/"
        self._producer = self._register(writer.worker)
        self._look(PATIENCE_S)

    def _look(self, patience_s: float) -> None:
        """Raises the floor to where the topic ends: none of our rows is on its way, so later ones lie behind."""
        self._look_s = self._clock() + LOOK_S
        with _explained(self._topic), contextlib.closing(_consumer(self._servers, self._options)) as consumer:
            found = consumer.list_topics(self._topic, timeout=patience_s).topics[self._topic]
            if found.error is not None:
                raise JobError(f"the topic {self._topic!r} cannot be written: {found.error.str()}")
            for partition in found.partitions:
                _, end = _watermarks(consumer, self._topic, partition, patience_s)
                self._floor[partition] = max(end, self._floor.get(partition, 0))

    def place(self) -> dict[int, int]:
        """See `Target.place`: by partition, an offset before all that will be sent from now on."""
        if self._clock() >= self._look_s:
            with contextlib.suppress(ClusterError, JobError):  # Then it is still where it was.
                self._look(LOOK_PATIENCE_S)
        return dict(self._floor)

    def stage(self, epoch: int, batch: Any) -> tuple[dict[int, int], list[Row]]:
        """See `Target.stage`: the rows themselves, and the place that they will stand behind."""
        del epoch
        if self._records:
            rows = [(self._key_of(record), json.dumps(record, default=str).encode()) for record in batch]
        else:
            values = batch.select(pl.struct(pl.all()).struct.json_encode()).to_series()
            keys = batch[self._key].cast(pl.String) if self._key is not None else [None] * len(values)
            rows = [
                (None if key is None else key.encode(), value.encode()) for key, value in zip(keys, values, strict=True)
            ]
        return dict(self._floor), rows

    def _key_of(self, record: Any) -> bytes | None:
        return None if self._key is None else str(record[self._key]).encode()

    def commit(self, staged: Sequence[Staged]) -> None:
        """See `Target.commit`.

        Raises:
            LostOutput: The topic has deleted what would tell whether rows of a checkpoint were sent.
            ClusterError: Kafka refuses.
        """
        before = [each for each in staged if each.generation != self._writer.generation]
        self._fence({each.worker for each in before})
        sent = self._sent([each.content[0] for each in before]) if before else set()
        missing = [
            (header, each.epoch, row)
            for each in staged
            for number, row in enumerate(each.content[1])
            if (header := self._header(each, number)) not in sent
        ]
        if missing:
            self._send(missing)

    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        """See `Target.discard`.

        Raises:
            LostOutput: What was sent cannot be taken back; or it cannot be known what was.
            ClusterError: Kafka refuses.
        """
        if covered is None:
            return
        workers = {worker for worker in covered.epochs if self._writer.looks_after(worker)}
        self._fence(workers)
        if shown:
            return
        ours = self._prefix.encode()
        for header in self._sent([covered.places[worker] for worker in workers]):
            if header.startswith(ours):
                generation, worker, epoch, _ = map(int, header.removeprefix(ours).split(b"/"))
                if worker in workers and not covered.covers(generation, worker, epoch):
                    raise LostOutput(
                        f"the topic {self._topic!r} holds epoch {epoch} of generation {generation}, of which the "
                        "checkpoint that was restored knows nothing: going on would repeat it. Bring the newest "
                        "checkpoint back, or start the job anew"
                    )

    def _register(self, worker: int) -> Producer:
        """The newest producer of that worker's rows; what an older one has not committed is aborted."""
        writer = self._writer
        with _explained(self._topic):
            producer = Producer(
                {
                    **self._options,
                    "bootstrap.servers": self._servers,
                    "transactional.id": f"limnad/{writer.job}/{writer.stage}/{worker}",
                }
            )
            producer.init_transactions(PATIENCE_S)
        self._fenced.add(worker)
        return producer

    def _fence(self, workers: set[int]) -> None:
        for worker in workers - self._fenced:
            self._register(worker)

    def _header(self, staged: Staged, number: int) -> bytes:
        return f"{self._prefix}{staged.generation}/{staged.worker}/{staged.epoch}/{number}".encode()

    def _send(self, messages: Sequence[tuple[bytes, int, Row]]) -> None:
        with _explained(self._topic):
            self._producer.begin_transaction()
            try:
                for header, epoch, (key, value) in messages:
                    headers: Any = [(HEADER, header), (EPOCH_HEADER, str(epoch).encode())]
                    self._produce(value, key, headers)
                self._producer.commit_transaction(PATIENCE_S)
            except KafkaException as error:
                if error.args[0].txn_requires_abort():
                    self._producer.abort_transaction(PATIENCE_S)
                raise

    def _produce(self, value: bytes, key: bytes | None, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, headers=headers, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(1.0)
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is None and partition is not None and offset is not None:
            self._floor[partition] = max(self._floor.get(partition, 0), offset + 1)

    def _sent(self, places: Sequence[Mapping[int, int]]) -> set[bytes]:
        """The headers of all messages that stand behind one of these places."""
        floor: dict[int, int] = {}
        for place in places:
            for partition, offset in place.items():
                floor[partition] = min(offset, floor.get(partition, offset))
        found: set[bytes] = set()
        with _explained(self._topic), contextlib.closing(_consumer(self._servers, self._options)) as consumer:
            left = self._stretches(consumer, floor)
            consumer.assign([TopicPartition(self._topic, partition, at) for partition, (at, _) in left.items()])
            while left:
                for message in _heard(consumer, self._topic):
                    partition, at = message.partition() or 0, message.offset() or 0
                    if message.error() is None:
                        headers: Any = message.headers() or []
                        found.update(value for name, value in headers if name == HEADER)
                        at += 1
                    if partition in left and at >= left[partition][1]:
                        del left[partition]
        return found

    def _stretches(self, consumer: Consumer, floor: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """For each partition that has something behind its floor, from where to where that is."""
        found = {}
        for partition in consumer.list_topics(self._topic, timeout=PATIENCE_S).topics[self._topic].partitions:
            low, high = _watermarks(consumer, self._topic, partition)
            start = floor.get(partition, low)
            if start < low:
                raise LostOutput(
                    f"the topic {self._topic!r} has deleted messages that would tell whether rows of the checkpoint "
                    "were sent: keep them for longer than a job may stand still, or start the job anew"
                )
            if start < high:
                found[partition] = (start, high)
        return found


def _heard(consumer: Consumer, topic: str) -> list[Message]:
    """Messages, and the ends of partitions; waits for the first."""
    first = consumer.poll(PATIENCE_S)  # `consume` would wait for as many as it is asked for.
    if first is None:
        raise ClusterError(f"the Kafka of the topic {topic!r} does not answer: see what holds it up")
    heard = [first, *consumer.consume(10_000, timeout=0)]
    for message in heard:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF and not error.retriable():
            raise KafkaException(error)
    return heard
