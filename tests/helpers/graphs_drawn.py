"""Random dataflow graphs as the page gets them."""

from __future__ import annotations

import random
from typing import Any

from limnad.timely.graph import GraphBuilder, LogicalGraph, LoopContext, Stage, StageKind


def random_graph(seed: int) -> LogicalGraph:
    """Inputs, branches, joins, and loops in loops."""
    rng = random.Random(seed)
    builder = GraphBuilder()
    open_ends = [
        builder.stage(f"input {number}", kind=StageKind.INPUT, inputs=0) for number in range(rng.randint(1, 3))
    ]
    open_ends = _grow(builder, rng, open_ends, None, depth=0)
    for number, end in enumerate(open_ends):
        builder.connect(end, 0, builder.stage(f"output {number}", outputs=0), 0)
    return builder.build()


def _grow(
    builder: GraphBuilder, rng: random.Random, ends: list[Stage], context: LoopContext | None, depth: int
) -> list[Stage]:
    for _ in range(rng.randint(1, 6)):
        count = len(builder.stages)
        shape = rng.choice(["chain", "join", "branch", "loop"] if depth < 3 else ["chain", "join", "branch"])
        if shape == "loop":
            source = rng.choice(ends)
            ends = [end for end in ends if end is not source]
            ends += _loop(builder, rng, source, context, depth)
        else:
            wanted = min(len(ends), rng.randint(2, 3)) if shape == "join" else 1
            sources = rng.sample(ends, wanted)
            stage = builder.stage(f"stage {count}", context=context, inputs=wanted)
            for port, source in enumerate(sources):
                builder.connect(source, 0, stage, port)
            ends = [end for end in ends if shape == "branch" or end not in sources] + [stage]
    return ends


def _loop(
    builder: GraphBuilder, rng: random.Random, source: Stage, context: LoopContext | None, depth: int
) -> list[Stage]:
    count = len(builder.stages)
    loop = LoopContext(f"loop {count}", context)
    entered = builder.ingress(f"enter {count}", loop)
    builder.connect(source, 0, entered, 0)
    head = builder.stage(f"head {count}", context=loop, inputs=2)
    builder.connect(entered, 0, head, 0)
    ends = _grow(builder, rng, [head], loop, depth + 1)
    back = builder.feedback(f"feedback {count}", loop)
    builder.connect(rng.choice(ends), 0, back, 0)
    builder.connect(back, 0, head, 1)
    left = []
    for number, end in enumerate(rng.sample(ends, rng.randint(1, len(ends)))):
        left.append(builder.egress(f"leave {count} {number}", loop))
        builder.connect(end, 0, left[-1], 0)
    return left


def as_page_gets_it(graph: LogicalGraph) -> dict[str, Any]:
    """What `limnad_worker.page.content` makes of the same graph."""
    loops = graph.contexts
    return {
        "stages": [
            {"kind": stage.kind.value, "home": loops.index(stage.home) if stage.home else None}
            for stage in graph.stages
        ],
        "connectors": [
            {
                "source": edge.source.index,
                "target": edge.target.index,
                "feedback": edge.source.kind is StageKind.FEEDBACK,
            }
            for edge in graph.connectors
        ],
        "loops": [{"parent": loops.index(loop.parent) if loop.parent else None} for loop in loops],
    }
