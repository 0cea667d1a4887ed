"""What an engine tells its agent of the flow that it has built."""

from __future__ import annotations

from typing import Any

from limnad.stream.flow import BuiltFlow
from limnad.timely.counters import carriers
from limnad.timely.graph import LogicalGraph, StageKind
from limnad_proto.v1 import control_pb2 as wire


def describe_flow(built: BuiltFlow) -> wire.Built:
    """All of it."""
    loops = built.graph.contexts
    place = {loop: index for index, loop in enumerate(loops)}
    return wire.Built(
        fingerprint=built.fingerprint(),
        graph=built.graph.fingerprint(),
        stages=[
            wire.StageInfo(
                name=stage.name,
                label=stage.label,
                kind=stage.kind.value,
                loop=stage.context.name if stage.context else "",
                home=place[stage.home] if stage.home else None,
            )
            for stage in built.graph.stages
        ],
        connectors=[wire.ConnectorInfo(**each) for each in describe_connectors(built.graph)],
        edges=[
            wire.Edge(
                source=edge.source.index,
                target=edge.target.index,
                partition=edge.partition.describe() if edge.partition else "",
                feedback=edge.source.kind is StageKind.FEEDBACK,
            )
            for edge in built.graph.connectors
        ],
        loops=[wire.LoopInfo(name=loop.name, parent=place[loop.parent] if loop.parent else None) for loop in loops],
        inputs=built.hand_fed,
        outputs=[wire.OutputInfo(name=name) for name in built.outputs],
        probes=[probe.name for probe in built.probes],
    )


def describe_connectors(graph: LogicalGraph) -> list[dict[str, Any]]:
    """The fields of a `ConnectorInfo` for each connector that a `Status` tells of."""
    return [
        {
            # An input port is fed by one connector only, so this is unique.
            "name": f"{edge.source.name} -> {edge.target.name}" + (f"[{edge.input}]" if edge.target.inputs > 1 else ""),
            "source": edge.source.name,
            "target": edge.target.name,
        }
        for edge in carriers(graph)
    ]
