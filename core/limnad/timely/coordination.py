"""Where a dataflow coordinates: which of its stages wait until all workers are through with a time.

A batch goes on as soon as it comes, on every worker by itself, until it meets a stage whose vertices ask for
notifications, or tell epochs in their order: these wait for the frontier, and so for the slowest worker. A stage that
does neither never waits, whatever the others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limnad.timely.graph import Connector, LogicalGraph, LoopContext, Stage
from limnad.timely.vertex import Vertex, wants_completions


@dataclass(frozen=True, slots=True)
class Wait:
    """A stage that waits.

    Attributes:
        stage: Which.
        why: In a few words.
    """

    stage: Stage
    why: str


def waits(stages: Iterable[Stage]) -> list[Wait]:
    """The stages that wait, and why."""
    return [Wait(stage, why) for stage in stages if (why := _why(stage)) is not None]


def free_loops(graph: LogicalGraph) -> list[LoopContext]:
    """The loops that rows go round without waiting for anybody."""
    waiting = [wait.stage.context for wait in waits(graph.stages)]
    return [loop for loop in graph.contexts if not any(loop.encloses(context) for context in waiting)]


def upstream(stage: Stage, connectors: Sequence[Connector]) -> list[Stage]:
    """A stage and all whose rows reach it, in no particular order."""
    found = {stage.index: stage}
    left = [stage]
    while left:
        target = left.pop()
        for connector in connectors:
            source = connector.source
            if connector.target is target and source.index not in found:
                found[source.index] = source
                left.append(source)
    return list(found.values())


def _why(stage: Stage) -> str | None:
    if stage.notifies:
        return f"waits until a time is complete: {_said(stage)}"
    if stage.outputs == 0 and stage.factory is not None and wants_completions(stage.factory()):
        return f"waits until an epoch is complete: {_said(stage)}"
    return None


def _said(stage: Stage) -> str:
    """What the vertex says of itself."""
    kind = type(stage.factory()) if stage.factory is not None else Vertex
    text = kind.__doc__ or ""
    return text.strip().partition("\n")[0].rstrip(".") or f"{kind.__name__} asks for notifications"
