"""PageRank, three ways."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, run_supersteps
from limnad.errors import JobError
from limnad.graph.gas import Gas, gas
from limnad.graph.inputs import check_edges, optional_nodes, scipy
from limnad.graph.pagerank_by_vertex import Settings, by_vertex
from limnad.graph.pregel import Pregel, Step, pregel
from limnad.stream import FrameStream

Array = npt.NDArray[Any]


class Way(Enum):
    """How PageRank is computed; all give the same ranks.

    VERTEX: Edges lie at their source; each worker multiplies its own matrix. The fastest. Needs ``limnad[graph]``.
    EDGE: Edges are spread by both ends (gather, apply, scatter): for graphs with hubs that one worker cannot hold.
    PREGEL: Messages from node to node, combined on their way: the easiest to change.
    """

    VERTEX = "vertex"
    EDGE = "edge"
    PREGEL = "pregel"


def pagerank(
    edges: FrameStream,
    nodes: FrameStream | None = None,
    *,
    damping: float = 0.85,
    tolerance: float | None = 1e-6,
    max_rounds: int = 100,
    way: Way = Way.VERTEX,
    name: str = "pagerank",
) -> FrameStream:
    """PageRank of each epoch's graph; ranks sum to 1.

    Args:
        edges: Columns ``src`` and ``dst``. An edge that is there twice counts twice.
        nodes: Column ``node``: nodes that perhaps have no edge.
        damping: The probability of following an edge. Who is at a node without one goes anywhere.
        tolerance: It ends when a round changes all ranks together by less than this for each node; None: never.
        max_rounds: Or after so many rounds.
        way: How; see `Way`.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``rank``.

    Raises:
        GraphError: The columns are not these.
        JobError: The numbers make no sense.
    """
    dtype = check_edges("pagerank()", edges, nodes)
    if not 0 <= damping <= 1 or max_rounds < 0:
        raise JobError(
            f"pagerank() needs damping within 0..1 and max_rounds of at least 0, not {damping}, {max_rounds}"
        )
    settings = Settings(damping, tolerance, max_rounds)
    if way is Way.EDGE:
        return gas(_ByEdge(settings), edges, nodes, value="rank", name=name)
    if way is Way.PREGEL:
        ranked = pregel(_ByMessage(settings), edges, nodes, name=name)
        return ranked.select("node", "rank")

    scipy("sparse")

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        return (yield from by_vertex(part, dtype, settings))

    inputs = [edges.select("src", "dst").partition_by("src"), *optional_nodes(nodes)]
    answer: FrameStream = run_supersteps(program, *inputs, name=name, schema={"node": dtype, "rank": pl.Float64})
    return answer


class _ByEdge(Gas):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.max_rounds = settings.max_rounds

    def start(self, out_degrees: Array, nodes: int) -> Array:
        return np.full(len(out_degrees), 1 / nodes)

    def gather(self, values: Array, out_degrees: Array, columns: Any) -> Array:
        return np.asarray(values / out_degrees)

    def share(self, values: Array, out_degrees: Array) -> float:
        return float(values[out_degrees == 0].sum())

    def apply(self, values: Array, gathered: Array, shared: float, nodes: int) -> Array:
        damping = self._settings.damping
        return np.asarray((1 - damping) / nodes + damping * (gathered + shared / nodes))

    def active(self, before: Array, after: Array, nodes: int) -> float:
        if self._settings.tolerance is None:
            return 1.0
        return float(np.abs(after - before).sum()) / (self._settings.tolerance * nodes)


class _ByMessage(Pregel):
    """Every node sends its share along its edges, and all of it to all where it has none."""

    state = {"rank": pl.Float64}  # noqa: RUF012 - a constant
    message = {"share": pl.Float64}  # noqa: RUF012 - a constant

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.combine = [pl.col("share").sum()]

    def compute(self, step: Step) -> None:
        """See `Pregel.compute`."""
        settings, nodes = self._settings, step.nodes
        if step.superstep > 1 and settings.enough(step.total("changed"), nodes):
            step.halt()
            return
        now = step.vertices.select("node", rank=self._ranks(step))
        if step.superstep:
            step.aggregate("changed", float((now["rank"] - step.vertices["rank"]).abs().sum()))
        step.set(now)
        if step.superstep == settings.max_rounds:
            step.halt()
            return
        flowing = now.join(step.out_degrees, on="node", how="left")
        step.aggregate("lost", float(flowing.filter(pl.col("degree").is_null())["rank"].sum()))
        shared = flowing.select(src="node", share=pl.col("rank") / pl.col("degree")).drop_nulls()
        step.send(step.edges.join(shared, on="src").select("share", node="dst"))

    def _ranks(self, step: Step) -> pl.Expr:
        if step.superstep == 0:
            return pl.lit(1 / step.nodes, dtype=pl.Float64)
        damping, lost = self._settings.damping, float(step.total("lost")) / step.nodes
        return damping * (pl.col("share").fill_null(0.0) + lost) + (1 - damping) / step.nodes
