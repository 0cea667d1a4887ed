"""A dataflow that is being described, and the same when it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Unpack, overload

import polars as pl

from limnad.connectors.files import TextFiles
from limnad.connectors.generator import Generator
from limnad.connectors.hand import HandFed
from limnad.connectors.lists import ListSource
from limnad.connectors.options import (
    CsvOptions,
    GeneratorOptions,
    NdjsonOptions,
    OnError,
    ParquetOptions,
    SchemaLike,
    StreamOptions,
    TextOptions,
    TopicOptions,
)
from limnad.connectors.splits import Paths
from limnad.connectors.tabular import CsvFiles, NdjsonFiles, ParquetFiles
from limnad.stream.base import Probe, Stream, contexts_of, extra
from limnad.stream.frames import FrameStream
from limnad.stream.fusion import fuse
from limnad.stream.loop import Loop
from limnad.stream.records import RecordStream
from limnad.timely.graph import GraphBuilder, GraphError, LogicalGraph, LoopContext, PartitionFunction, Stage, StageKind
from limnad.timely.source import Source
from limnad.timely.vertex import Vertex, wants_notifications


@dataclass(frozen=True, slots=True)
class BuiltFlow:
    """A flow that has passed its checks: what an engine runs.

    Attributes:
        graph: The dataflow graph.
        sources: What feeds each input stage, by stage name.
        outputs: The names of its outputs.
        probes: Its probes.
        committed: The names of the sinks that show only what a durable checkpoint covers.
    """

    graph: LogicalGraph
    sources: Mapping[str, Source]
    outputs: Sequence[str]
    probes: Sequence[Probe]
    committed: Sequence[str] = ()

    @property
    def hand_fed(self) -> list[str]:
        """The names of the inputs that are fed by hand."""
        return [name for name, source in self.sources.items() if isinstance(source, HandFed)]

    def fingerprint(self) -> str:
        """Equal for equal flows in every process: graph, sources and schemas."""
        digest = sha256(self.graph.fingerprint().encode())
        for name, source in self.sources.items():
            schema = getattr(source, "schema", None)
            described = (name, source.describe(), list(source.partitions()), str(schema))
            digest.update(repr(described).encode())
        return digest.hexdigest()


class Flow:
    """A dataflow that is being described: a job is a function that takes one.

    >>> def job(flow: Flow) -> None:
    ...     words = flow.input("words")
    ...     words.map(str.lower).count().output("how many")
    """

    def __init__(self) -> None:
        self.builder = GraphBuilder()
        self.sources: dict[str, Source] = {}
        self._outputs: list[str] = []
        self._probes: list[Probe] = []
        self._sinks: dict[str, bool] = {}
        self._loops: list[LoopContext] = []

    # -- inputs --------------------------------------------------------------------------------------------------------

    @overload
    def input(self, name: str) -> RecordStream[Any]: ...
    @overload
    def input(self, name: str, schema: SchemaLike) -> FrameStream: ...
    def input(self, name: str, schema: SchemaLike | None = None) -> RecordStream[Any] | FrameStream:
        """An input that is fed by hand: by ``limnad run --feed``, a program with `limnad.local`, or a test.

        Args:
            name: How whoever feeds it calls it.
            schema: With one, batches are frames of it; without, lists of records.

        Raises:
            GraphError: The name is taken.
        """
        fixed = None if schema is None else pl.Schema(schema)
        return self.read(HandFed(fixed), name, fixed)

    @overload
    def read(self, source: Source, name: str, schema: None = None) -> RecordStream[Any]: ...
    @overload
    def read(self, source: Source, name: str, schema: pl.Schema) -> FrameStream: ...
    @overload
    def read(self, source: Source, name: str, schema: pl.Schema | None) -> RecordStream[Any] | FrameStream: ...
    def read(self, source: Source, name: str, schema: pl.Schema | None = None) -> RecordStream[Any] | FrameStream:
        """Any source: what it reads, as frames of a schema, or as records."""
        stage = self.builder.stage(name, kind=StageKind.INPUT, inputs=0, label=f"{name}: {source.describe()}")
        self.sources[name] = source
        return RecordStream(self, stage) if schema is None else FrameStream(self, stage, schema=schema)

    def values(self, epochs: Sequence[Sequence[Any]], *, name: str = "values") -> RecordStream[Any]:
        """Records that are written down in the job itself: a list for each epoch.

        Raises:
            GraphError: An epoch is no list.
        """
        for epoch in epochs:
            if isinstance(epoch, (str, bytes)) or not isinstance(epoch, Sequence):
                raise GraphError(
                    f"values() takes a list of records for each epoch, such as [[1, 2], [3]], not {epoch!r}"
                )
        return self.read(ListSource([epochs]), self.unique(name))

    def read_text(self, paths: Paths, *, name: str = "text", **options: Unpack[TextOptions]) -> FrameStream:
        """Lines of text files. Options: see `limnad.connectors.TextFiles`. Columns: ``line``."""
        return self._read_files(TextFiles(paths, **options), name)

    @overload
    def read_csv(
        self, paths: Paths, *, name: str = "csv", on_error: Literal["fail"] = "fail", **options: Unpack[CsvOptions]
    ) -> FrameStream: ...
    @overload
    def read_csv(
        self, paths: Paths, *, name: str = "csv", on_error: Literal["divert"], **options: Unpack[CsvOptions]
    ) -> tuple[FrameStream, FrameStream]: ...
    def read_csv(
        self,
        paths: Paths,
        *,
        name: str = "csv",
        on_error: OnError = "fail",
        **options: Unpack[CsvOptions],
    ) -> Any:
        """Rows of CSV files. Options: see `limnad.connectors.CsvFiles`.

        With ``on_error="divert"`` there are two streams: the rows, and ``(path, line, text, reason)`` of bad ones.
        """
        return self._read_rows(CsvFiles(paths, on_error=on_error, **options), name)

    @overload
    def read_ndjson(
        self,
        paths: Paths,
        *,
        name: str = "ndjson",
        on_error: Literal["fail"] = "fail",
        **options: Unpack[NdjsonOptions],
    ) -> FrameStream: ...
    @overload
    def read_ndjson(
        self, paths: Paths, *, name: str = "ndjson", on_error: Literal["divert"], **options: Unpack[NdjsonOptions]
    ) -> tuple[FrameStream, FrameStream]: ...
    def read_ndjson(
        self,
        paths: Paths,
        *,
        name: str = "ndjson",
        on_error: OnError = "fail",
        **options: Unpack[NdjsonOptions],
    ) -> Any:
        """Rows of files of JSON lines. Options: see `limnad.connectors.NdjsonFiles`; ``on_error`` as for `read_csv`."""
        return self._read_rows(NdjsonFiles(paths, on_error=on_error, **options), name)

    def read_parquet(self, paths: Paths, *, name: str = "parquet", **options: Unpack[ParquetOptions]) -> FrameStream:
        """Rows of Parquet files. Options: see `limnad.connectors.ParquetFiles`."""
        return self._read_files(ParquetFiles(paths, **options), name)

    def _read_rows(self, source: CsvFiles | NdjsonFiles, name: str) -> FrameStream | tuple[FrameStream, FrameStream]:
        read = self._read_files(source, name)
        if not source.diverts:
            return read
        error = pl.col(source.error_column)
        rows = read.filter(error.is_null()).drop(source.error_column)
        return rows, read.filter(error.is_not_null()).select(error).map_batches(
            lambda frame: frame.unnest(source.error_column)
        )

    def _read_files(self, source: Any, name: str) -> FrameStream:
        schema: pl.Schema = source.schema
        return self.read(source, self.unique(name), schema)

    @overload
    def read_redis(
        self,
        url: str,
        streams: str | Sequence[str],
        schema: None = None,
        *,
        name: str = "redis",
        **options: Unpack[StreamOptions],
    ) -> RecordStream[Any]: ...
    @overload
    def read_redis(
        self,
        url: str,
        streams: str | Sequence[str],
        schema: SchemaLike,
        *,
        name: str = "redis",
        **options: Unpack[StreamOptions],
    ) -> FrameStream: ...
    def read_redis(
        self,
        url: str,
        streams: str | Sequence[str],
        schema: SchemaLike | None = None,
        *,
        name: str = "redis",
        **options: Unpack[StreamOptions],
    ) -> RecordStream[Any] | FrameStream:
        """Entries of Redis Streams. Options: see `limnad.connectors.redis_streams.RedisStreams`.

        Args:
            url: Of the Redis.
            streams: The streams' keys.
            schema: Fields and types: then rows are frames; without, dicts of texts.
            name: The input's name.
            options: ``epochs``, ``batch_rows``, ``follow``.

        Raises:
            JobError: The URL or the schema makes no sense, or ``limnad[redis]`` is not installed.
        """
        RedisStreams = extra("redis", "limnad.connectors.redis_streams").RedisStreams  # noqa: N806 - it is a class
        fixed = None if schema is None else pl.Schema(schema)
        return self.read(RedisStreams(url, streams, schema=fixed, **options), self.unique(name), fixed)

    @overload
    def read_kafka(
        self, servers: str, topic: str, schema: None = None, *, name: str = "kafka", **options: Unpack[TopicOptions]
    ) -> RecordStream[Any]: ...
    @overload
    def read_kafka(
        self, servers: str, topic: str, schema: SchemaLike, *, name: str = "kafka", **options: Unpack[TopicOptions]
    ) -> FrameStream: ...
    def read_kafka(
        self,
        servers: str,
        topic: str,
        schema: SchemaLike | None = None,
        *,
        name: str = "kafka",
        **options: Unpack[TopicOptions],
    ) -> RecordStream[Any] | FrameStream:
        """Messages of a Kafka topic. Options: see `limnad.connectors.kafka.KafkaTopic`.

        Args:
            servers: ``"HOST:PORT,..."``.
            topic: Its name.
            schema: Columns and types of JSON objects, then rows are frames; without, dicts of ``key`` and ``value``.
            name: The input's name.
            options: ``epochs``, ``batch_rows``, ``follow``, and librdkafka's own as ``options``.

        Raises:
            InputError: There is no such topic.
            ClusterError: No broker answers.
            JobError: ``limnad[kafka]`` is not installed.
        """
        KafkaTopic = extra("kafka", "limnad.connectors.kafka").KafkaTopic  # noqa: N806 - it is a class
        fixed = None if schema is None else pl.Schema(schema)
        return self.read(KafkaTopic(servers, topic, schema=fixed, **options), self.unique(name), fixed)

    def generate(
        self, make: Callable[..., pl.DataFrame], *, name: str = "generate", **options: Unpack[GeneratorOptions]
    ) -> FrameStream:
        """Rows that a seeded function makes, for load and for tests. Options: see `limnad.connectors.Generator`."""
        return self._read_files(Generator(make, **options), name)

    # -- loops and vertices --------------------------------------------------------------------------------------------

    def loop(self, name: str = "loop") -> Loop:
        """A loop context. One inside it is made by its own `Loop.loop`."""
        return self.nested_loop(name, None)

    def nested_loop(self, name: str, parent: LoopContext | None) -> Loop:
        """A loop context inside another one."""
        loop = Loop(self, _first_free(name, {context.name for context in self._loops}), parent)
        self._loops.append(loop.context)
        return loop

    def loop_around(self, stream: Stream, name: str) -> Loop:
        """A loop context that a stream can enter from where it is."""
        return self.nested_loop(name, stream.context)

    @overload
    def vertex(
        self,
        factory: Callable[[], Vertex],
        *inputs: Stream,
        name: str | None = None,
        outputs: Literal[1] = 1,
        schemas: None = None,
    ) -> RecordStream[Any]: ...
    @overload
    def vertex(
        self,
        factory: Callable[[], Vertex],
        *inputs: Stream,
        name: str | None = None,
        outputs: int = 1,
        schemas: Sequence[SchemaLike | None] | None = None,
    ) -> Any: ...
    def vertex(
        self,
        factory: Callable[[], Vertex],
        *inputs: Stream,
        name: str | None = None,
        outputs: int = 1,
        schemas: Sequence[SchemaLike | None] | None = None,
    ) -> Any:
        """A stage of the user's own vertices, one made by ``factory`` on each worker.

        Args:
            factory: Usually the subclass of `Vertex` itself.
            inputs: Its input ports, in order. Say with ``partition_by`` how rows are spread over the workers.
            name: The stage's name, by default the factory's.
            outputs: How many output ports.
            schemas: For each output its schema (a `FrameStream`) or None (a `RecordStream`); by default all None.

        Returns:
            One stream, or with several outputs a tuple of streams; with none, None.
        """
        called = str(name or getattr(factory, "__name__", type(factory).__name__))
        kind = factory if isinstance(factory, type) else type(factory())
        if not issubclass(kind, Vertex):
            raise TypeError(f"the factory of stage {called!r} makes {kind.__name__}, which is not a Vertex")
        quiet = kind.quiet_inputs
        if unknown := quiet - set(range(len(inputs))):
            raise GraphError(f"stage {called!r} has {len(inputs)} inputs; quiet_inputs names another, {min(unknown)}")
        notifies = wants_notifications(kind)
        stage = self.add_stage(
            called, factory, inputs, notifies=notifies, outputs=outputs, quiet=quiet, at_end=kind.at_end
        )
        wanted = list(schemas) if schemas is not None else [None] * outputs
        if len(wanted) != outputs:
            raise GraphError(f"stage {called!r} has {outputs} outputs but {len(wanted)} schemas")
        streams = tuple(
            RecordStream[Any](self, stage, port)
            if schema is None
            else FrameStream(self, stage, port, schema=pl.Schema(schema))
            for port, schema in enumerate(wanted)
        )
        return streams[0] if outputs == 1 else (streams or None)

    # -- building blocks for operators ---------------------------------------------------------------------------------

    def add_stage(
        self,
        name: str,
        factory: Callable[[], Any] | None,
        inputs: Sequence[Stream],
        *,
        notifies: bool = False,
        outputs: int = 1,
        detail: Any = None,
        combine: Callable[[Any], Any] | None = None,
        quiet: frozenset[int] = frozenset(),
        at_end: bool = False,
    ) -> Stage:
        """Adds a stage that listens to streams, in the loop that they share."""
        if not inputs:
            raise GraphError(f"stage {name!r} needs an input: rows come into a flow by flow.input() or flow.read...()")
        for stream in inputs:
            if stream.flow is not self:
                raise GraphError(f"stage {name!r} listens to {stream.stage.name!r}, which belongs to another flow")
        stage = self.builder.stage(
            self.unique(name),
            factory,
            context=contexts_of(inputs),
            inputs=len(inputs),
            outputs=outputs,
            notifies=notifies,
            quiet=quiet,
            label=name,
            detail=detail,
            at_end=at_end,
        )
        for port, stream in enumerate(inputs):
            self.connect(stream, stage, port, combine)
        return stage

    def connect(self, stream: Stream, target: Stage, port: int, combine: Callable[[Any], Any] | None = None) -> None:
        """Joins a stream to an input port."""
        partition: PartitionFunction | None = stream.partition
        if partition is not None and target.is_system:
            raise GraphError(
                f"{stream.stage.name!r} is partitioned just before {target.name!r}: partition it behind, in the loop "
                "where an operator receives it"
            )
        self.builder.connect(
            stream.stage, stream.port, target, port, partition=partition, combine=combine or stream.combine
        )

    def unique(self, name: str) -> str:
        """A stage name like ``name`` that is free."""
        return _first_free(name, {stage.name for stage in self.builder.stages})

    def add_output(self, name: str) -> None:
        """Registers an output's name."""
        if name in self._outputs:
            raise GraphError(f"two outputs are named {name!r}: give one of them another name")
        self._outputs.append(name)

    def add_sink(self, name: str, *, committed: bool) -> None:
        """Registers a sink's name, and whether it shows only what a durable checkpoint covers."""
        if name in self._sinks:
            raise GraphError(f"two sinks of the job are named {name!r}: let one stream, a.concat(b), write there")
        self._sinks[name] = committed

    def add_probe(self, stage: Stage) -> Probe:
        """Registers a probe."""
        probe = Probe(stage.name)
        self._probes.append(probe)
        return probe

    def build(self) -> BuiltFlow:
        """Checks the whole and freezes it.

        Raises:
            GraphError: The flow breaks a rule; the message names the stages.
        """
        if not self.builder.stages:
            raise GraphError("the flow is empty: give it an input, and something that listens to it")
        self.builder.build()
        graph = fuse(self.builder).build()
        committed = tuple(name for name, waits in self._sinks.items() if waits)
        return BuiltFlow(graph, dict(self.sources), tuple(self._outputs), tuple(self._probes), committed)


def _first_free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
