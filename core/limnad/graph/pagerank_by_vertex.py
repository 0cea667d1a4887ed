"""PageRank with edges at their source: what flows is each target's share, summed before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps
from limnad.graph.inputs import nodes_of, rows_of, scipy
from limnad.graph.mirrors import Mirrors, mirrors_of
from limnad.graph.numbering import distinct

Ranks = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """How PageRank is computed; see `limnad.graph.pagerank`."""

    damping: float
    tolerance: float | None
    max_rounds: int

    def enough(self, error: float, nodes: int) -> bool:
        """Whether ranks that the last round changed by ``error`` are the answer."""
        return self.tolerance is not None and error < self.tolerance * nodes


def by_vertex(part: Part, dtype: Any, settings: Settings) -> Supersteps[pl.DataFrame]:
    """The program: a matrix from this worker's nodes to all that they link to, multiplied once a round."""
    edges = rows_of(part, 0, {"src": dtype, "dst": dtype})
    mirrors = yield from mirrors_of(part, distinct(edges["dst"]), edges["src"], nodes_of(part, 1, dtype))
    sources, targets = mirrors.owned(edges["src"]), mirrors.mirrored(edges["dst"])
    shape = (len(mirrors.touched), len(mirrors.own))
    links = scipy("sparse").coo_array((np.ones(len(edges)), (targets, sources)), shape=shape).tocsr()
    out = np.bincount(sources, minlength=shape[1]).astype(np.float64)
    ranks = yield from _iterated(part, mirrors, links, out, settings)
    return pl.DataFrame({"node": mirrors.own, "rank": ranks}, schema={"node": dtype, "rank": pl.Float64})


def _iterated(part: Part, mirrors: Mirrors, links: Any, out: Ranks, settings: Settings) -> Supersteps[Ranks]:
    nodes, damping = mirrors.nodes, settings.damping
    names = mirrors.own.to_numpy()
    dangling = np.flatnonzero(out == 0)
    with np.errstate(divide="ignore"):
        share = np.where(out > 0, 1 / out, 0.0)
    ranks, rounds = np.full(len(out), 1 / nodes), 0
    error = np.inf
    if part.saved is not None:
        at = mirrors.owned(part.saved["node"])
        ranks[at] = part.saved["rank"]
        rounds = int(part.saved["rounds"][0]) if len(at) else 0
        rounds, error = max((yield [(rounds, 0.0)] * part.workers))[0], np.inf
    while rounds < settings.max_rounds:
        flowing = links @ (ranks * share)
        sums = np.zeros(len(ranks))
        told = yield from mirrors.push(flowing, sums, np.add, (float(ranks[dangling].sum()), error))
        # What the last round changed is only known to all now: the ranks of before this round are the answer.
        if settings.enough(sum(changed for _, changed in told), nodes):
            break
        sums += sum(lost for lost, _ in told) / nodes
        sums *= damping
        sums += (1 - damping) / nodes
        error = float(np.abs(sums - ranks).sum())
        ranks, rounds = sums, rounds + 1
        part.save(by="node", node=names, rank=ranks, rounds=np.broadcast_to(rounds, len(ranks)))
    return ranks
