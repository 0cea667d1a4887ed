"""Fixpoints: collections that are defined by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from limnad.incremental.collection import Collection
from limnad.incremental.deltas import Layout
from limnad.incremental.linear import going_round
from limnad.stream.flow import Flow
from limnad.stream.loop import Loop
from limnad.timely.graph import GraphError, depth_of


class Variable:
    """A collection in a loop whose next value is said later, in terms of itself and of others.

    At the first trip it is its source, or empty; at each later one what it was `set` to, as that was one trip before.

    Args:
        loop: The loop.
        source: What it starts with, a collection around the loop or in it; or columns and types, to start empty.
    """

    def __init__(self, loop: Loop, source: Collection | Mapping[str, Any]) -> None:
        self._loop = loop
        self._source = source.enter(loop) if isinstance(source, Collection) else None
        schema = pl.Schema(source.schema if isinstance(source, Collection) else source)
        depth = depth_of(loop.context)
        like = replace(_any_stream(loop.flow), schema=Layout(dict(schema), depth).frame_schema)
        self._feedback = loop.feedback(like)
        round_again = Collection(self._feedback.stream, schema, loose=True)
        self.collection: Collection = round_again if self._source is None else self._source.concat(round_again)

    def set(self, result: Collection) -> None:
        """Says what it is at the next trip.

        Raises:
            GraphError: It was said already; or the schema or the loop is another one.
        """
        self.collection._check_like(result)
        if result.context is not self._loop.context:
            raise GraphError(f"a variable of the loop {self._loop.name!r} is set to a collection that lives elsewhere")
        if result.loose:  # What cancels would go round for ever.
            result = result.consolidate()
        if self._source is not None:
            result = result.except_(self._source)
        self._feedback.connect(result._step("once more", going_round).stream)


def iterate(
    sources: Sequence[Collection],
    body: Callable[..., Sequence[Collection]],
    name: str = "iterate",
) -> tuple[Collection, ...]:
    """Applies a function to several collections again and again, until nothing changes: mutual recursion.

    Args:
        sources: What the collections start with; all live around the loop.
        body: Takes the collections inside the loop and returns the next ones, in the same order.
        name: The loop's.

    Returns:
        The fixpoint.
    """
    if not sources:
        raise GraphError("iterate() needs at least one collection")
    loop = sources[0].stream.flow.loop_around(sources[0].stream, name)
    variables = [Variable(loop, source) for source in sources]
    results = body(*(variable.collection for variable in variables))
    if len(results) != len(variables):
        raise GraphError(f"the body of {name!r} takes {len(variables)} collections but returns {len(results)}")
    for variable, result in zip(variables, results, strict=True):
        variable.set(result)
    return tuple(result.leave() for result in results)


def _any_stream(flow: Flow) -> Any:
    from limnad.stream.frames import FrameStream

    return FrameStream(flow, flow.builder.stages[0])
