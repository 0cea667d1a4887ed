"""Random small graphs with nested loops, for property tests."""

from hypothesis import strategies as st

from limnad.timely import GraphBuilder, LogicalGraph, LoopContext, Stage, StageKind


class Maker:
    """Grows a graph: a few inputs, then a body in which stages and loops listen to what came before."""

    def __init__(self, draw: st.DrawFn, max_depth: int = 3) -> None:
        self.draw = draw
        self.max_depth = max_depth
        self.builder = GraphBuilder()

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.builder.stages)}"

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def graph(self) -> LogicalGraph:
        inputs = [
            self.builder.stage(self.name("in"), kind=StageKind.INPUT, inputs=0) for _ in range(self.integer(1, 2))
        ]
        self.body(inputs, None, self.integer(1, 4), depth=1)
        return self.builder.build()

    def body(self, streams: list[Stage], context: LoopContext | None, size: int, depth: int) -> list[Stage]:
        streams = list(streams)
        for _ in range(size):
            if depth < self.max_depth and self.draw(st.booleans()):
                streams.append(self.loop(streams, context, depth))
            else:
                streams.append(self.compute(streams, context))
        return streams

    def compute(self, streams: list[Stage], context: LoopContext | None, *extra: Stage) -> Stage:
        listened = [*extra, *(self.pick(streams) for _ in range(self.integer(0 if extra else 1, 2)))]
        stage = self.builder.stage(
            self.name("stage"), context=context, inputs=len(listened), notifies=self.draw(st.booleans())
        )
        for port, source in enumerate(listened):
            self.builder.connect(source, 0, stage, port)
        return stage

    def loop(self, streams: list[Stage], around: LoopContext | None, depth: int) -> Stage:
        context = LoopContext(self.name("loop"), around)
        entered = []
        for _ in range(self.integer(1, 2)):
            ingress = self.builder.ingress(self.name("enter"), context)
            self.builder.connect(self.pick(streams), 0, ingress, 0)
            entered.append(ingress)
        feedback = self.builder.feedback(self.name("feedback"), context)
        head = self.compute(entered, context, feedback, entered[0])
        inside = self.body([head], context, self.integer(0, 2), depth + 1)
        self.builder.connect(self.pick(inside), 0, feedback, 0)
        egress = self.builder.egress(self.name("leave"), context)
        self.builder.connect(self.pick(inside), 0, egress, 0)
        return egress

    def pick(self, streams: list[Stage]) -> Stage:
        return self.draw(st.sampled_from(streams))


@st.composite
def graphs(draw: st.DrawFn) -> LogicalGraph:
    """A checked graph of up to three nested loops."""
    return Maker(draw).graph()
