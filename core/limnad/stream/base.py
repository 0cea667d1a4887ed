"""What all streams share, whatever their batches hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

from limnad.connectors.exactly_once import Delivery, Sink, Target
from limnad.errors import JobError
from limnad.stream.operators.sinks import Output, Subscription
from limnad.stream.operators.transform import Concat, Inspect, Step, Steps, Swallow, Transform
from limnad.stream.partitions import Broadcast, ToWorker
from limnad.timely.graph import GraphError, LoopContext, PartitionFunction, Stage
from limnad.timely.timestamp import Timestamp, less_equal

if TYPE_CHECKING:
    from limnad.stream.flow import Flow

AnyStream = TypeVar("AnyStream", bound="Stream")


@dataclass(frozen=True, eq=False)
class Stream:
    """What comes out of one output port of a stage: batches with timestamps.

    A stream is a description; nothing moves until the job runs. Operators return new streams and change nothing.

    Attributes:
        flow: The dataflow it belongs to.
        stage: Where it comes from.
        port: Which output.
        partition: How the next operator's input is spread over the workers; None: batches stay where they are.
        combine: What merges batches that wait to be spread.
    """

    flow: Flow
    stage: Stage
    port: int = 0
    partition: PartitionFunction | None = None
    combine: Callable[[Any], Any] | None = None

    @property
    def context(self) -> LoopContext | None:
        """The loop this stream lives in, None outside all loops."""
        return self.stage.output_context

    # -- what each kind of stream says ---------------------------------------------------------------------------------

    def _empty(self) -> Any:
        """A batch without rows."""
        raise NotImplementedError

    def _like(self, stage: Stage, port: int = 0) -> Self:
        """A stream of the same kind out of another stage."""
        return replace(self, stage=stage, port=port, partition=None, combine=None)

    # -- building blocks -----------------------------------------------------------------------------------------------

    def _transform(self, name: str, step: Step) -> Stage:
        """Adds a stateless stage behind this stream."""
        steps = (step,)
        return self._then(name, lambda: Transform(steps), detail=Steps(steps))

    def _then(
        self,
        name: str,
        factory: Callable[[], Any],
        *others: Stream,
        notifies: bool = False,
        outputs: int = 1,
        detail: Any = None,
        combine: Callable[[Any], Any] | None = None,
    ) -> Stage:
        """Adds a stage that listens to this stream and others."""
        return self.flow.add_stage(
            name, factory, (self, *others), notifies=notifies, outputs=outputs, detail=detail, combine=combine
        )

    # -- operators that all streams have -------------------------------------------------------------------------------

    def named(self, name: str) -> Self:
        """Gives the operator that made this stream a name: for pictures, and for finding its state again.

        Raises:
            GraphError: Another stage has that name.
        """
        self.flow.builder.rename(self.stage, name)
        return self

    def broadcast(self) -> Self:
        """Every worker gets every row."""
        return replace(self, partition=Broadcast())

    def to_worker(self, worker: int) -> Self:
        """One worker (modulo their number) gets every row."""
        return replace(self, partition=ToWorker(worker))

    def spread_by(self, partition: PartitionFunction) -> Self:
        """Spreads rows over the workers, for the next operator, by a partition function of one's own."""
        return replace(self, partition=partition)

    def combined(self, merge: Callable[[Any], Any]) -> Self:
        """Merges the rows that wait to be spread, for the next operator, into fewer ones that mean the same.

        Args:
            merge: From a batch to a smaller one. Law: how rows are divided over batches does not matter to who gets
                them: ``merge`` of several batches, and of what it made of them before, means what they mean.
        """
        check_callable("combined", merge)
        return replace(self, combine=merge)

    def concat(self, *others: Self) -> Self:
        """The rows of this stream and of the others, of the same kind and loop."""
        for other in others:
            self._check_like(other)
        return self._like(self._then("concat", Concat, *others))

    def _check_like(self, other: Stream) -> None:
        if type(other) is not type(self) and not (isinstance(other, type(self)) or isinstance(self, type(other))):
            raise GraphError(
                f"cannot concat the {type(self).__name__} of {self.stage.name!r} with the {type(other).__name__} of "
                f"{other.stage.name!r}: convert one with to_frames() or to_records()"
            )

    def inspect(self, look: Callable[[Timestamp, Any], None]) -> Self:
        """Calls ``look(time, batch)`` for every batch, on the worker where it is, and passes it on."""
        return self._like(self._then("inspect", lambda: Inspect(look)))

    def probe(self, name: str = "probe") -> Probe:
        """A handle that tells which times are complete at this point of the dataflow."""
        stage = self._then(name, Swallow, outputs=0)
        return self.flow.add_probe(stage)

    def subscribe(self, callback: Callable[[int, Any], None]) -> None:
        """Calls ``callback(epoch, batch)`` once for every epoch, in order, the empty ones included.

        The batch holds all of the epoch's rows, from all workers; the callback runs on worker 0.
        """
        self._check_outside_loops("subscribe")
        empty = self._empty()
        self.to_worker(0)._then("subscribe", lambda: Subscription(empty, callback), outputs=0)

    def output(self, name: str) -> None:
        """Publishes every epoch's rows under ``name``, in order, the empty epochs included.

        `limnad run` shows it, a client can subscribe to it, and a test finds it in its result.

        Raises:
            GraphError: The name is taken.
        """
        self._check_outside_loops("output")
        self.flow.add_output(name)
        empty = self._empty()
        self.to_worker(0)._then(f"output {name}", lambda: Output(empty, name), outputs=0)

    def to_sink(self, name: str, make_target: Callable[[], Target], *, delivery: Delivery = "eager") -> None:
        """Writes every epoch's rows to a target of one's own, each worker those that it has.

        Args:
            name: The sink's name: for pictures, and for finding again what it has staged.
            make_target: Called for each worker; see `limnad.connectors.Target`.
            delivery: ``"eager"``: an epoch is shown when it is complete, and after a restart perhaps again under the
                same number; ``"committed"``: when a durable checkpoint covers it, exactly once.

        Raises:
            GraphError: The stream is in a loop, or the job has another sink of that name.
            JobError: There is no such delivery.
        """
        self._check_outside_loops("write")
        if delivery not in get_args(Delivery):
            raise JobError(f"delivery is 'eager' or 'committed', not {delivery!r}")
        make_target()  # What is wrong with it is wrong here, where the user's line is.
        self.flow.add_sink(name, committed=delivery == "committed")
        empty = self._empty()
        self._then(name, lambda: Sink(empty, make_target, delivery), outputs=0)

    def write_redis(self, url: str, stream: str, *, maxlen: int | None = None, delivery: Delivery = "eager") -> None:
        """Appends every epoch's rows to a Redis Stream, with their epoch in the field ``_epoch``.

        Args:
            url: Of the Redis.
            stream: The stream's key. A row's columns are an entry's fields, a record is JSON in the field ``value``.
            maxlen: About how many entries the stream keeps; None: all.
            delivery: See `to_sink`.

        Raises:
            GraphError: The stream is in a loop, or another sink of the job writes there.
            JobError: The URL or a column makes no sense, or ``limnad[redis]`` is not installed.
        """
        module, empty = extra("redis", "limnad.connectors.redis_streams"), self._empty()
        schema = getattr(empty, "schema", None)
        self.to_sink(
            f"write redis {stream}", lambda: module.RedisTarget(url, stream, schema, maxlen), delivery=delivery
        )

    def write_kafka(
        self,
        servers: str,
        topic: str,
        *,
        key: str | None = None,
        delivery: Delivery = "eager",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Sends every epoch's rows to a Kafka topic as JSON, in transactions, with their epoch in the header ``epoch``.

        Args:
            servers: ``"HOST:PORT,..."``.
            topic: Its name; it exists. Consumers read it with ``isolation.level=read_committed``.
            key: The column (of records: the field) whose text is the message's key.
            delivery: See `to_sink`.
            options: librdkafka's own.

        Raises:
            GraphError: The stream is in a loop, or another sink of the job writes there.
            JobError: There is no such column, or ``limnad[kafka]`` is not installed.
        """
        module, empty = extra("kafka", "limnad.connectors.kafka"), self._empty()
        records = isinstance(empty, list)
        if key is not None and not records and key not in empty.columns:
            raise JobError(f"there is no column {key!r} to be the key; there are {', '.join(empty.columns)}")
        self.to_sink(
            f"write kafka {topic}",
            lambda: module.KafkaTarget(servers, topic, key, records=records, options=options),
            delivery=delivery,
        )

    def _check_outside_loops(self, deed: str) -> None:
        if self.context is not None:
            raise GraphError(
                f"{deed}() of a stream inside the loop {self.context.name!r}: leave() the loop first, "
                "an epoch's answer is what has left it"
            )

    def iterate(self, body: Callable[[Self], tuple[Self, AnyStream]], name: str = "iterate") -> AnyStream:
        """Runs rows round a loop until none go round any more.

        Args:
            body: Takes the stream of rows that are in the loop, the first ones and those that come round; returns
                ``(again, out)``: what goes round once more, and what leaves.
            name: The loop's name, for errors and pictures.

        Returns:
            What leaves, at the time at which it entered.
        """
        loop = self.flow.loop_around(self, name)
        entered = loop.enter(self)
        feedback = loop.feedback(entered)
        again, out = body(entered.concat(feedback.stream))
        feedback.connect(again)
        return loop.leave(out)


class Probe:
    """Tells which times are complete at one point of a running dataflow (Naiad, section 2.2)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._frontier: Callable[[str], list[Timestamp] | None] | None = None

    def attach(self, frontier: Callable[[str], list[Timestamp] | None]) -> None:
        """Called by the engine when the job starts, with what knows the frontier at a stage (None: not yet known)."""
        self._frontier = frontier

    def done(self, time: Timestamp | int) -> bool:
        """Whether nothing at ``time`` or before can reach the probe any more, as this worker knows it.

        Args:
            time: A timestamp of the probe's depth, or an epoch.

        Raises:
            RuntimeError: The job has not started.
        """
        if self._frontier is None:
            raise RuntimeError(f"the probe {self.name!r} knows nothing before the job runs")
        wanted = (time,) if isinstance(time, int) else time
        frontier = self._frontier(self.name)
        return frontier is not None and not any(less_equal(element, wanted) for element in frontier)


def extra(name: str, module: str) -> Any:
    """A module that needs packages which are installed on demand.

    Raises:
        JobError: They are not.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise JobError(f"this needs a package that is not installed: pip install 'limnad[{name}]'") from error


def check_callable(what: str, value: object) -> None:
    """Complains early about an argument that should be a function."""
    if not callable(value):
        raise TypeError(f"{what} takes a function, not {value!r}")


def contexts_of(streams: Sequence[Stream]) -> LoopContext | None:
    """The loop that all these streams live in.

    Raises:
        GraphError: They live in different ones.
    """
    first = streams[0].context
    for stream in streams[1:]:
        if stream.context is not first:
            names = [repr(s.context.name) if s.context else "no loop" for s in (streams[0], stream)]
            raise GraphError(
                f"{streams[0].stage.name!r} lives in {names[0]}, but {stream.stage.name!r} in {names[1]}: "
                "bring them together by enter() or leave()"
            )
    return first
