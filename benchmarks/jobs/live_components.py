"""Connected components that follow their graph, and words that follow their text."""

import polars as pl

import limnad
from limnad.incremental import Collection, Variable, from_stream

EDGES = {"a": pl.Int64, "b": pl.Int64, "diff": pl.Int64}
WORDS = {"word": pl.String, "diff": pl.Int64}
APART = 64
"""So many trips lie between labels of one size and those twice as large: the small ones have spread by then."""


def labelled(edges: Collection) -> Collection:
    """Each node with the least node that it hangs together with; small labels go ahead."""
    near = edges.concat(edges.select(a="b", b="a")).distinct()
    nodes = near.select("a", label="a").distinct()
    loop = edges.stream.flow.loop("components")
    proposals = Variable(loop, nodes.schema)
    size = (pl.col("label") + 1).log(2).floor().cast(pl.Int64)
    labels = nodes.enter_at(loop, APART * size).concat(proposals.collection).group_by("a").min("label")
    proposals.set(labels.join(near.enter(loop), "a").select("b", "label").rename({"b": "a"}))
    return labels.leave()


def components(flow: limnad.Flow) -> None:
    """Labels of the nodes of a graph whose edges come and go."""
    labelled(from_stream(flow.input("rows", EDGES), "diff")).output("labels")


def wordcount(flow: limnad.Flow) -> None:
    """How often each word is there."""
    from_stream(flow.input("rows", WORDS), "diff").group_by("word").count().output("counts")
