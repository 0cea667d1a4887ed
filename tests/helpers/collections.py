"""Incremental operators, each beside what it means in plain Python, and histories to try them on.

Collections here have two columns of small integers, ``a`` and ``b``. A history is a list of epochs, each a list of
``(a, b, diff)``. A reference takes the inputs as they are at every epoch so far and returns the answer at the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

import limnad
from limnad.incremental import Collection, Variable, from_stream, iterate

SCHEMA = {"a": pl.Int64, "b": pl.Int64, "diff": pl.Int64}
Rows = Counter[tuple[Any, ...]]
Epoch = list[tuple[int, int, int]]
History = list[Epoch]


@dataclass(frozen=True)
class Case:
    """An operator and its meaning."""

    build: Callable[[Collection, Collection], Collection]
    reference: Callable[[Sequence[Rows], Sequence[Rows]], Rows]


def now(function: Callable[[Rows, Rows], Iterable[tuple[Any, ...]] | Rows]) -> Callable[..., Rows]:
    """A reference that needs no more than the inputs as they are."""
    return lambda left, right: Counter(function(left[-1], right[-1]))


def of(rows: Rows) -> list[tuple[Any, ...]]:
    """Each row as often as it is there."""
    return list(rows.elements())


def groups(rows: Rows) -> dict[Any, list[Any]]:
    """The values of ``b`` by ``a``, sorted."""
    found: dict[Any, list[Any]] = {}
    for a, b in sorted(of(rows)):
        found.setdefault(a, []).append(b)
    return found


def joined(left: Rows, right: Rows) -> Rows:
    """On ``a``."""
    found: Rows = Counter()
    for (a, b), times in left.items():
        for (c, d), others in right.items():
            if a == c:
                found[a, b, d] += times * others
    return found


def keys(rows: Rows) -> set[Any]:
    """The different values of ``a``."""
    return {a for a, _ in rows}


def minus(left: Rows, right: Rows) -> Rows:
    """Multiplicities subtracted, below zero too."""
    found = Counter(left)
    found.subtract(right)
    return Counter({row: times for row, times in found.items() if times})


def windowed(states: Sequence[Rows], epochs: int) -> Rows:
    """What was added in the last epochs."""
    return minus(states[-1], states[-1 - epochs]) if len(states) > epochs else states[-1]


def reachable(edges: Rows, starts: Iterable[Any]) -> set[Any]:
    """Nodes at the ends of paths, the starts included."""
    found = set(starts)
    while more := {b for a, b in edges if a in found} - found:
        found |= more
    return found


def components(edges: Rows) -> Rows:
    """Each node with the least node that it hangs together with."""
    both = Counter([*edges, *((b, a) for a, b in edges)])
    return Counter((node, min(reachable(both, [node]))) for node in keys(both))


# -- the same as dataflows ---------------------------------------------------------------------------------------------


def reach(edges: Collection, starts: Collection) -> Collection:
    """All nodes that can be reached from the ``a`` of `starts`."""
    roots = starts.select("a").distinct()
    return roots.iterate(
        lambda found: (
            found.join(edges.enter(found), "a").select(pl.col("b").alias("a")).concat(roots.enter(found)).distinct()
        )
    )


def shared(left: Collection, right: Collection) -> Collection:
    """One index for two joins, the one with rows that come out of the other."""
    index = right.arrange_by("a")
    once = left.join(index, "a").rename({"b": "first", "b_right": "b"}).select("a", "first", "b")
    itself = right.select("a").distinct().join(index, "a").select("a", first="b", b="b")
    return once.concat(itself)


def reach_arranged(edges: Collection, starts: Collection) -> Collection:
    """All nodes that can be reached, by an index of the edges from outside the loop."""
    index = edges.arrange_by("a")
    roots = starts.select("a").distinct()
    return roots.iterate(
        lambda found: found.join(index.enter(found), "a").select(a="b").concat(roots.enter(found)).distinct()
    )


def both_ways(edges: Collection) -> Collection:
    """An undirected graph, each edge once."""
    return edges.concat(edges.select(a="b", b="a")).distinct()


def step(labels: Collection, edges: Collection) -> Collection:
    """Labels sent along edges."""
    return labels.join(edges.enter(labels), "a").select(pl.col("b").alias("a"), "label")


def connected(edges: Collection, _: Collection) -> Collection:
    """Labels of connected components, all nodes at once."""
    near = both_ways(edges)
    nodes = near.select("a", label="a").distinct()
    return nodes.iterate(lambda labels: step(labels, near).concat(nodes.enter(labels)).group_by("a").min("label"))


def connected_in_order(edges: Collection, _: Collection) -> Collection:
    """The same; small labels go ahead."""
    near = both_ways(edges)
    nodes = near.select("a", label="a").distinct()
    loop = edges.stream.flow.loop("connected")
    proposed = Variable(loop, nodes.schema)
    entered = nodes.enter_at(loop, 3 * pl.col("label"))
    labels = entered.concat(proposed.collection).group_by("a").min("label")
    proposed.set(step(labels, near))
    return labels.leave()


def even_and_odd(edges: Collection, starts: Collection) -> Collection:
    """Nodes at the ends of paths of even and of odd length: mutual recursion."""
    roots = starts.select("a").distinct()

    def body(even: Collection, odd: Collection) -> tuple[Collection, Collection]:
        def after(nodes: Collection) -> Collection:
            return nodes.join(edges.enter(nodes), "a").select(pl.col("b").alias("a"))

        return after(odd).concat(roots.enter(odd)).distinct(), after(even).distinct()

    even, odd = iterate((roots, roots.filter(pl.lit(False))), body)
    return even.with_columns(pl.lit(0).alias("odd")).concat(odd.with_columns(pl.lit(1).alias("odd")))


def even_and_odd_reference(edges: Rows, starts: Rows) -> Rows:
    """The same."""
    doubled = Counter(((a, side), (b, 1 - side)) for a, b in edges for side in (0, 1))
    found = reachable(doubled, [(a, 0) for a in keys(starts)])
    return Counter((a, side) for a, side in found)


def in_cycles(edges: Collection, _: Collection) -> Collection:
    """Edges within strongly connected components: a fixpoint of fixpoints."""
    once = edges.distinct()

    def trim(inside: Collection, backwards: bool) -> Collection:
        directed = inside.select(a="b", b="a") if backwards else inside
        nodes = directed.select("b").distinct().select(a="b", label="b")
        labels = nodes.iterate(
            lambda label: step(label, directed).concat(nodes.enter(label)).group_by("a").min("label"), name="labels"
        )
        at_start = directed.join(labels, "a")
        at_both = at_start.rename({"label": "first", "a": "c"}).join(labels.rename({"a": "b"}), "b")
        kept = at_both.filter(pl.col("first") == pl.col("label")).select(pl.col("c").alias("a"), "b")
        return kept.select(a="b", b="a") if backwards else kept

    return once.iterate(lambda inside: trim(trim(inside, False), True).distinct(), name="cycles")


def in_cycles_reference(edges: Rows) -> Rows:
    """The same."""
    return Counter((a, b) for a, b in edges if a in reachable(edges, [b]))


def span(frame: pl.DataFrame) -> pl.DataFrame:
    """A reduction of the user's: two rows for a group."""
    values = frame["b"].to_list()
    return pl.DataFrame({"n": [len(values), max(values) - min(values)]})


def spans(rows: Rows) -> Rows:
    """The same."""
    return Counter((a, n) for a, bs in groups(rows).items() for n in (len(bs), max(bs) - min(bs)))


B = pl.col("b")
CASES: Mapping[str, Case] = {
    "select": Case(
        lambda left, _: left.select("a", c=B * 2, one=pl.lit(1)),
        now(lambda left, _: Counter((a, 2 * b, 1) for a, b in of(left))),
    ),
    "filter": Case(lambda left, _: left.filter(B > 1), now(lambda left, _: [row for row in of(left) if row[1] > 1])),
    "all columns": Case(
        lambda left, _: left.with_columns(c=pl.sum_horizontal(pl.all())).filter(pl.all() > 0),
        now(lambda left, _: [(a, b, a + b) for a, b in of(left) if a > 0 and b > 0]),
    ),
    "explode": Case(
        lambda left, _: left.select("a", l=pl.int_ranges(0, B)).filter(pl.col("l").list.len() > 0).explode("l"),
        now(lambda left, _: [(a, i) for a, b in of(left) for i in range(b)]),
    ),
    "flat_map": Case(
        lambda left, _: left.flat_map(lambda a, b: [(a, i) for i in range(b)], {"a": pl.Int64, "i": pl.Int64}),
        now(lambda left, _: [(a, i) for a, b in of(left) for i in range(b)]),
    ),
    "concat": Case(lambda left, right: left.concat(right), now(lambda left, right: left + right)),
    "except": Case(lambda left, right: left.except_(right), now(minus)),
    "negate": Case(lambda left, _: left.negate(), now(lambda left, _: {row: -n for row, n in left.items()})),
    "consolidate": Case(lambda left, _: left.consolidate(), now(lambda left, _: left)),
    "inner": Case(lambda left, right: left.join(right, "a"), now(joined)),
    "semi": Case(
        lambda left, right: left.join(right, "a", "semi"),
        now(lambda left, right: [row for row in of(left) if row[0] in keys(right)]),
    ),
    "anti": Case(
        lambda left, right: left.join(right, "a", "anti"),
        now(lambda left, right: [row for row in of(left) if row[0] not in keys(right)]),
    ),
    "left": Case(
        lambda left, right: left.join(right, "a", "left"),
        now(
            lambda left, right: joined(left, right) + Counter((a, b, None) for a, b in of(left) if a not in keys(right))
        ),
    ),
    "arranged": Case(shared, now(lambda left, right: joined(left, right) + Counter((a, b, b) for a, b in of(right)))),
    "distinct": Case(lambda left, _: left.distinct(), now(lambda left, _: set(left))),
    "threshold": Case(
        lambda left, _: left.threshold(lambda times: times // 2),
        now(lambda left, _: {row: n // 2 for row, n in left.items()}),
    ),
    "count": Case(lambda left, _: left.count(), now(lambda left, _: [(*row, n) for row, n in left.items()])),
    "union": Case(lambda left, right: left.union(right), now(lambda left, right: {*left, *right})),
    "intersect": Case(lambda left, right: left.intersect(right), now(lambda left, right: left.keys() & right.keys())),
    "symmetric difference": Case(
        lambda left, right: left.symmetric_difference(right), now(lambda left, right: left.keys() ^ right.keys())
    ),
    "group count": Case(
        lambda left, _: left.group_by("a").count(),
        now(lambda left, _: [(a, len(bs)) for a, bs in groups(left).items()]),
    ),
    "agg numbers": Case(
        lambda left, _: left.group_by("a").agg(B.sum().alias("s"), B.min().alias("l"), B.max().alias("g"), n=pl.len()),
        now(lambda left, _: [(a, sum(bs), min(bs), max(bs), len(bs)) for a, bs in groups(left).items()]),
    ),
    "agg expressions": Case(
        lambda left, _: left.group_by(pl.col("a") % 2).agg(B.mean(), B.median().alias("m"), B.n_unique().alias("u")),
        now(
            lambda left, _: [
                (a, sum(bs) / len(bs), float(median(bs)), len(set(bs)))
                for a, bs in groups(Counter((a % 2, b) for a, b in of(left))).items()
            ]
        ),
    ),
    "top k": Case(
        lambda left, _: left.group_by("a").top_k(2, "b"),
        now(lambda left, _: [(a, b) for a, bs in groups(left).items() for b in bs[-2:]]),
    ),
    "apply": Case(
        lambda left, _: left.group_by("a").apply(span, {"n": pl.Int64}),
        now(lambda left, _: spans(left)),
    ),
    "delay": Case(lambda left, _: left.delay(2), lambda left, _: left[-3] if len(left) > 2 else Counter()),
    "window": Case(lambda left, _: left.window(2), lambda left, _: windowed(left, 2)),
    "adjust time": Case(
        lambda left, _: left.adjust_time(pl.col("__epoch") + pl.col("a") % 2),
        lambda left, _: (
            Counter(row for row in of(left[-1]) if row[0] % 2 == 0)
            + Counter(row for row in of(left[-2] if len(left) > 1 else Counter()) if row[0] % 2)
        ),
    ),
    "reach by an arrangement": Case(
        reach_arranged,
        now(lambda left, right: [(a,) for a in reachable(left, keys(right))]),
    ),
    "reach": Case(reach, now(lambda left, right: [(a,) for a in reachable(left, keys(right))])),
    "connected": Case(connected, now(lambda left, _: components(left))),
    "connected in order": Case(connected_in_order, now(lambda left, _: components(left))),
    "even and odd": Case(even_and_odd, now(even_and_odd_reference)),
    "in cycles": Case(in_cycles, now(lambda left, _: in_cycles_reference(left))),
}
LOOPS = ("reach", "reach by an arrangement", "connected", "connected in order", "even and odd", "in cycles")


def median(values: Sequence[int]) -> float:
    """Of a sorted sequence."""
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def job(flow: limnad.Flow, names: Sequence[str], cases: Mapping[str, Case] = CASES) -> None:
    """All these cases on the same inputs, each with an output of its name."""
    left, right = (from_stream(flow.input(side, SCHEMA), "diff") for side in ("left", "right"))
    for name in names:
        cases[name].build(left, right).output(name)


def frames(history: History) -> list[pl.DataFrame | None]:
    """What is fed."""
    return [pl.DataFrame(epoch, SCHEMA, orient="row") if epoch else None for epoch in history]


def states(history: History) -> list[Rows]:
    """The collection at each epoch."""
    found: list[Rows] = []
    state: Rows = Counter()
    for epoch in history:
        state = Counter(state)
        for a, b, diff in epoch:
            state[a, b] += diff
        state = Counter({row: times for row, times in state.items() if times})
        found.append(state)
    return found


def expected(name: str, left: History, right: History, cases: Mapping[str, Case] = CASES) -> list[dict[Any, int]]:
    """The differences of each epoch."""
    lefts, rights = states(left), states(right)
    before: Rows = Counter()
    found = []
    for epoch in range(len(lefts)):
        answer = cases[name].reference(lefts[: epoch + 1], rights[: epoch + 1])
        answer = Counter({row: times for row, times in answer.items() if times})
        found.append(dict(minus(answer, before)))
        before = answer
    return found


def differences(frame: pl.DataFrame) -> dict[Any, int]:
    """The rows of one epoch of an output; each may be there once."""
    rows = frame.rows()
    found = {row[:-1]: row[-1] for row in rows}
    assert len(found) == len(rows), "a row differs twice at one time"
    assert 0 not in found.values(), "a row differs by nothing"
    return found


def check(
    outputs: Mapping[str, Mapping[int, pl.DataFrame]],
    names: Iterable[str],
    left: History,
    right: History,
    cases: Mapping[str, Case] = CASES,
) -> None:
    """Every epoch of every output is exactly how the answer differs from the epoch before."""
    for name in names:
        for epoch, wanted in enumerate(expected(name, left, right, cases)):
            assert differences(outputs[name][epoch]) == wanted, f"{name}, epoch {epoch}"
