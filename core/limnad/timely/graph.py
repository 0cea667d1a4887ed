"""Logical graphs: stages joined by connectors, nested in loop contexts, and the rules that they obey.

The rules (Naiad, section 2.1), each checked when the graph is built, each error naming the stages at fault:

1. an edge crosses the border of a loop context only by that context's ingress or egress stage;
2. every cycle lies within one loop context and passes through one of that context's own feedback stages;
3. every input port is fed by exactly one connector.

Ingress, egress and feedback stages only change times. They are drawn and checked like all others, but no message ever
waits in front of one: `LogicalGraph.routes` skips over them, so that a batch travels from one user vertex to the next
in one hop.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any, Protocol

from limnad.errors import JobError
from limnad.timely.components import strongly_connected
from limnad.timely.summary import PathSummary, compose


class GraphError(JobError, ValueError):
    """The dataflow graph breaks a rule of its construction; the message names the stages and the way out."""


class PartitionFunction(Protocol):
    """Decides which worker gets which part of a batch, on a connector that exchanges.

    Attributes:
        replicates: Whether every worker gets a copy of every row; else each row goes to one worker.
    """

    @property
    def replicates(self) -> bool: ...  # noqa: D102 - above

    def split(self, batch: Any, workers: int) -> "Iterable[tuple[int, Any]]":
        """Yields ``(worker, part)`` for each worker that gets something."""

    def describe(self) -> str:
        """A few words for pictures and the fingerprint, equal in every process."""


class StageKind(Enum):
    """What a stage does to times."""

    INPUT = "input"
    COMPUTE = "compute"
    INGRESS = "ingress"
    EGRESS = "egress"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True, eq=False)
class LoopContext:
    """A loop: times inside it have one counter more than times around it.

    Attributes:
        name: Shown in errors and pictures.
        parent: The context around it, None at the top of the flow.
    """

    name: str
    parent: "LoopContext | None" = None

    @property
    def depth(self) -> int:
        """The coordinates of a time inside, the epoch included."""
        return depth_of(self.parent) + 1

    def encloses(self, other: "LoopContext | None") -> bool:
        """Whether ``other`` is this context or one inside it."""
        while other is not None and other is not self:
            other = other.parent
        return other is self


def depth_of(context: LoopContext | None) -> int:
    """The coordinates of a time in ``context`` (None: outside all loops), the epoch included."""
    return 1 if context is None else context.depth


@dataclass(slots=True, eq=False)
class Stage:
    """A set of like vertices, one at each worker, and what all of them share.

    Attributes:
        index: Position in the graph.
        name: Unique in the graph; state and checkpoints are found by it.
        kind: What it does to times.
        context: The loop context its inputs live in (for an ingress, the context it enters *from*).
        inputs: How many input ports.
        outputs: How many output ports.
        factory: Makes the vertex of one worker; None where the stage has no vertex.
        notifies: Whether its vertices may ask for notifications, and so may hold capabilities.
        quiet: Input ports from which nothing follows: see `Vertex.quiet_inputs`.
        label: What a picture or a table shows; the name where there is nothing better.
        detail: Payload for the layers above (a source's description); never read here.
        at_end: Whether its vertices have something to do when all inputs have ended: see `Vertex.at_end`.
    """

    index: int
    name: str
    kind: StageKind
    context: LoopContext | None
    inputs: int
    outputs: int
    factory: Callable[[], Any] | None = None
    notifies: bool = False
    quiet: frozenset[int] = frozenset()
    label: str = ""
    detail: Any = None
    at_end: bool = False

    @property
    def output_context(self) -> LoopContext | None:
        """The context that what it sends lives in."""
        if self.kind is StageKind.EGRESS:
            assert self.context is not None
            return self.context.parent
        if self.kind is StageKind.INGRESS:
            assert isinstance(self.detail, LoopContext)
            return self.detail
        return self.context

    @property
    def home(self) -> LoopContext | None:
        """The loop in whose box it is drawn: ingress and egress stand at their loop's border, inside."""
        return self.output_context if self.kind is StageKind.INGRESS else self.context

    @property
    def is_system(self) -> bool:
        """Whether it only changes times and has no vertex."""
        return self.kind in _SYSTEM

    @property
    def summary(self) -> PathSummary:
        """What passing through does to a time."""
        depth = depth_of(self.context)
        return _SUMMARIES.get(self.kind, PathSummary.identity)(depth)


_SYSTEM = frozenset({StageKind.INGRESS, StageKind.EGRESS, StageKind.FEEDBACK})
_SUMMARIES: dict[StageKind, Callable[[int], PathSummary]] = {
    StageKind.INGRESS: PathSummary.ingress,
    StageKind.EGRESS: PathSummary.egress,
    StageKind.FEEDBACK: PathSummary.feedback,
}


@dataclass(frozen=True, slots=True, eq=False)
class Connector:
    """An edge from an output port to an input port.

    Attributes:
        index: Position in the graph.
        source: The sending stage.
        output: Its port.
        target: The receiving stage.
        input: Its port.
        partition: None keeps each batch on the worker that made it; else it decides who gets which part.
        combine: Merges the batches that wait in one outgoing buffer into one smaller batch, before they leave.
    """

    index: int
    source: Stage
    output: int
    target: Stage
    input: int
    partition: PartitionFunction | None = None
    combine: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One hop from an output port to a user vertex, past any stages that only change times.

    Attributes:
        connector: The last connector of the hop; messages and their counts live on it.
        summary: What the hop does to a time; None for the identity.
    """

    connector: Connector
    summary: PathSummary | None


@dataclass(frozen=True, eq=False)
class LogicalGraph:
    """A graph that has passed all checks and does not change any more.

    Attributes:
        stages: By index.
        connectors: By index.
        routes: ``routes[stage.index][port]`` are the hops out of that port.
        inputs: ``inputs[stage.index][port]`` is the connector into that port.
    """

    stages: Sequence[Stage]
    connectors: Sequence[Connector]
    routes: Sequence[Sequence[Sequence[Route]]]
    inputs: Sequence[Sequence[Connector]]

    @property
    def contexts(self) -> list[LoopContext]:
        """Every loop context that a stage lives in, outer ones first."""
        found: dict[int, LoopContext] = {}
        for stage in self.stages:
            context = stage.context
            while context is not None:
                found.setdefault(id(context), context)
                context = context.parent
        return sorted(found.values(), key=lambda context: (context.depth, context.name))

    @property
    def has_end(self) -> bool:
        """Whether the end of all inputs is an epoch of its own."""
        return any(stage.at_end for stage in self.stages)

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            KeyError: No stage has it.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(f"no stage is named {name!r}")

    def fingerprint(self) -> str:
        """Equal for equal graphs in every process: workers compare theirs before a job starts."""
        digest = sha256()
        for stage in self.stages:
            context = stage.context.name if stage.context else ""
            ports = (stage.inputs, sorted(stage.quiet), stage.outputs)
            described = (stage.name, stage.kind.value, context, ports, stage.label)
            digest.update(repr(described).encode())
        for edge in self.connectors:
            partition = edge.partition.describe() if edge.partition else ""
            described_edge = (edge.source.name, edge.output, edge.target.name, edge.input, partition)
            digest.update(repr(described_edge).encode())
        return digest.hexdigest()


@dataclass
class GraphBuilder:
    """Collects stages and connectors, then checks them.

    >>> builder = GraphBuilder()
    >>> numbers = builder.stage("numbers", kind=StageKind.INPUT, inputs=0)
    >>> shown = builder.stage("shown", outputs=0)
    >>> edge = builder.connect(numbers, 0, shown, 0)
    >>> [stage.name for stage in builder.build().stages]
    ['numbers', 'shown']
    """

    stages: list[Stage] = field(default_factory=list)
    connectors: list[Connector] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def stage(
        self,
        name: str,
        factory: Callable[[], Any] | None = None,
        *,
        kind: StageKind = StageKind.COMPUTE,
        context: LoopContext | None = None,
        inputs: int = 1,
        outputs: int = 1,
        notifies: bool = False,
        quiet: frozenset[int] = frozenset(),
        label: str = "",
        detail: Any = None,
        at_end: bool = False,
    ) -> Stage:
        """Adds a stage.

        Raises:
            GraphError: The name is taken.
        """
        if name in self._names:
            raise GraphError(f"two stages are named {name!r}: give one of them another name")
        self._names.add(name)
        label = label or name
        index = len(self.stages)
        stage = Stage(index, name, kind, context, inputs, outputs, factory, notifies, quiet, label, detail, at_end)
        self.stages.append(stage)
        return stage

    def rename(self, stage: Stage, name: str) -> None:
        """Gives a stage another name.

        Raises:
            GraphError: The name is taken.
        """
        if name in self._names:
            raise GraphError(f"two stages are named {name!r}: give one of them another name")
        self._names.remove(stage.name)
        self._names.add(name)
        stage.name = stage.label = name

    def ingress(self, name: str, context: LoopContext) -> Stage:
        """Adds the stage by which an edge enters ``context`` from its parent."""
        return self.stage(name, kind=StageKind.INGRESS, context=context.parent, detail=context)

    def egress(self, name: str, context: LoopContext) -> Stage:
        """Adds the stage by which an edge leaves ``context`` to its parent."""
        return self.stage(name, kind=StageKind.EGRESS, context=context)

    def feedback(self, name: str, context: LoopContext) -> Stage:
        """Adds the stage by which an edge starts the next trip round ``context``."""
        return self.stage(name, kind=StageKind.FEEDBACK, context=context)

    def connect(
        self,
        source: Stage,
        output: int,
        target: Stage,
        input: int,
        *,
        partition: PartitionFunction | None = None,
        combine: Callable[[Any], Any] | None = None,
    ) -> Connector:
        """Joins an output port to an input port.

        Raises:
            GraphError: A port that is not there, or an edge across a loop border.
        """
        _check_ports(source, output, target, input)
        _check_border(source, target)
        if partition is not None and target.is_system:
            raise GraphError(
                f"the connector from {source.name!r} into {target.name!r} cannot exchange: "
                "partition the connector behind it, where a vertex receives"
            )
        connector = Connector(len(self.connectors), source, output, target, input, partition, combine)
        self.connectors.append(connector)
        return connector

    def build(self) -> LogicalGraph:
        """Checks the whole and freezes it.

        Raises:
            GraphError: A rule of this module's docstring is broken.
        """
        inputs = self._inputs()
        check_cycles(self.stages, self.connectors)
        outgoing: dict[tuple[int, int], list[Connector]] = {}
        for connector in self.connectors:
            outgoing.setdefault((connector.source.index, connector.output), []).append(connector)
        routes = [
            [_routes(outgoing, stage, port) for port in range(stage.outputs)] if not stage.is_system else []
            for stage in self.stages
        ]
        return LogicalGraph(tuple(self.stages), tuple(self.connectors), routes, inputs)

    def _inputs(self) -> list[list[Connector]]:
        fed: dict[tuple[int, int], Connector] = {}
        for connector in self.connectors:
            port = (connector.target.index, connector.input)
            if port in fed:
                raise GraphError(
                    f"input {connector.input} of stage {connector.target.name!r} is fed twice, by "
                    f"{fed[port].source.name!r} and {connector.source.name!r}: concatenate them first"
                )
            fed[port] = connector
        for stage in self.stages:
            for port_number in range(stage.inputs):
                if (stage.index, port_number) not in fed:
                    raise GraphError(_unfed(stage, port_number))
        return [[fed[stage.index, port] for port in range(stage.inputs)] for stage in self.stages]


def _unfed(stage: Stage, port: int) -> str:
    if stage.kind is StageKind.FEEDBACK:
        context = stage.context.name if stage.context else "?"
        return f"the feedback {stage.name!r} of loop {context!r} was never connected: say what goes round the loop"
    return f"input {port} of stage {stage.name!r} is not connected"


def _check_ports(source: Stage, output: int, target: Stage, input: int) -> None:
    if not 0 <= output < source.outputs:
        raise GraphError(f"stage {source.name!r} has {source.outputs} outputs, there is no output {output}")
    if not 0 <= input < target.inputs:
        raise GraphError(f"stage {target.name!r} has {target.inputs} inputs, there is no input {input}")


def _check_border(source: Stage, target: Stage) -> None:
    sent, wanted = source.output_context, target.context
    if sent is wanted:
        return
    if sent is None or sent.encloses(wanted):
        raise GraphError(
            f"stage {target.name!r} lies in loop {_called(wanted)}, but stage {source.name!r} outside it: "
            "an edge gets into a loop only by enter()"
        )
    if wanted is None or wanted.encloses(sent):
        raise GraphError(
            f"stage {source.name!r} lies in loop {_called(sent)}, but stage {target.name!r} outside it: "
            "an edge gets out of a loop only by leave()"
        )
    raise GraphError(
        f"stage {source.name!r} lies in loop {_called(sent)}, but stage {target.name!r} in loop {_called(wanted)}: "
        "leave() the one and enter() the other"
    )


def _called(context: LoopContext | None) -> str:
    return repr(context.name) if context else "none"


def _routes(outgoing: dict[tuple[int, int], list[Connector]], stage: Stage, port: int) -> list[Route]:
    depth = depth_of(stage.output_context)
    routes = []
    waiting: list[tuple[Connector, list[PathSummary]]] = [(edge, []) for edge in outgoing.get((stage.index, port), [])]
    while waiting:
        edge, passed = waiting.pop(0)
        if edge.target.is_system:
            further = [*passed, edge.target.summary]
            waiting.extend((after, further) for after in outgoing.get((edge.target.index, 0), []))
        else:
            summary = compose(passed, depth)
            routes.append(Route(edge, None if summary.is_identity(depth) else summary))
    return routes


def check_cycles(stages: Sequence[Stage], connectors: Sequence[Connector]) -> None:
    """Checks rule 2: without the feedback stages of its outermost context, no cycle may remain.

    Raises:
        GraphError: A cycle avoids its context's feedback, or has no vertex on it.
    """
    edges = [(edge.source.index, edge.target.index) for edge in connectors]
    for members in strongly_connected(len(stages), edges):
        _check_component(stages, edges, set(members))


def _check_component(stages: Sequence[Stage], edges: list[tuple[int, int]], members: set[int]) -> None:
    inner = [(source, target) for source, target in edges if source in members and target in members]
    if not inner:
        return
    context = outermost_context([stages[member] for member in members])
    own = {m for m in members if stages[m].kind is StageKind.FEEDBACK and stages[m].context is context}
    names = " -> ".join(repr(stages[member].name) for member in sorted(members))
    if not own:
        raise GraphError(f"the stages {names} form a cycle without a feedback: go round a loop by loop.feedback()")
    if all(stages[member].is_system for member in members):
        raise GraphError(f"the loop through {names} has no stage in it that could receive a message")
    rest = [(source, target) for source, target in inner if source not in own]
    for component in strongly_connected(len(stages), rest):
        _check_component(stages, rest, set(component) - own)


def outermost_context(stages: Sequence[Stage]) -> LoopContext | None:
    """Of the contexts of these stages, the one with the fewest coordinates."""
    return min((stage.context for stage in stages), key=depth_of)
