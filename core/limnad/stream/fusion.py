"""Fuses neighbouring stateless stages of a flow into one, so that a chain of them costs one hop.

A stage of `Steps` joins the stage of `Steps` before it when it is the only one that listens to it, on the same worker
and in the same loop. The fused stage keeps the name of the last: that is the one whose output others use.
"""

from dataclasses import dataclass

from limnad.stream.operators.transform import Steps, Transform
from limnad.timely.graph import Connector, GraphBuilder, Stage


def fuse(builder: GraphBuilder) -> GraphBuilder:
    """A new builder with the same dataflow in fewer stages."""
    listeners: dict[int, list[Connector]] = {}
    feeder: dict[int, Connector] = {}
    for connector in builder.connectors:
        listeners.setdefault(connector.source.index, []).append(connector)
        feeder[connector.target.index] = connector
    heads: dict[int, int] = {}
    for stage in builder.stages:
        before = feeder.get(stage.index)
        if before is not None and _fusable(before, listeners):
            heads[before.source.index] = stage.index
    return _Rebuild(builder, heads, feeder).run()


def _fusable(connector: Connector, listeners: dict[int, list[Connector]]) -> bool:
    return (
        isinstance(connector.source.detail, Steps)
        and isinstance(connector.target.detail, Steps)
        and connector.partition is None
        and connector.combine is None
        and len(listeners[connector.source.index]) == 1
    )


@dataclass
class _Rebuild:
    old: GraphBuilder
    swallowed: dict[int, int]
    feeder: dict[int, Connector]

    def run(self) -> GraphBuilder:
        builder = GraphBuilder()
        made: dict[int, Stage] = {}
        for stage in self.old.stages:
            if stage.index not in self.swallowed:
                made[stage.index] = self._stage(builder, stage)
        for connector in self.old.connectors:
            if connector.source.index in self.swallowed:
                continue
            target = connector.target.index
            while target in self.swallowed:
                target = self.swallowed[target]
            builder.connect(
                made[connector.source.index],
                connector.output,
                made[target],
                connector.input,
                partition=connector.partition,
                combine=connector.combine,
            )
        return builder

    def _stage(self, builder: GraphBuilder, last: Stage) -> Stage:
        chain = [last]
        while (before := self.feeder.get(chain[0].index)) and self.swallowed.get(before.source.index) == chain[0].index:
            chain.insert(0, before.source)
        factory, detail, label = last.factory, last.detail, last.label
        if len(chain) > 1:
            steps = tuple(step for stage in chain for step in stage.detail.steps)
            factory, detail = lambda: Transform(steps), Steps(steps)
            label = " · ".join(stage.label for stage in chain)
        return builder.stage(
            last.name,
            factory,
            kind=last.kind,
            context=last.context,
            inputs=last.inputs,
            outputs=last.outputs,
            notifies=last.notifies,
            quiet=last.quiet,
            label=label,
            detail=detail,
            at_end=last.at_end,
        )
