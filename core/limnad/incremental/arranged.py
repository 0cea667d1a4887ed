"""Collections that are arranged: indexed by a key, once for many joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from limnad.incremental.arrange import Arrange, SharedJoin
from limnad.incremental.collection import Collection
from limnad.incremental.deltas import Layout
from limnad.stream.frames import FrameStream
from limnad.stream.loop import Loop
from limnad.timely.graph import GraphError, LoopContext, Stage


@dataclass(frozen=True, eq=False)
class Arranged:
    """A collection that is kept by key, once on each worker for all joins with it; made by `Collection.arrange_by`.

    Joins in a loop read the same index as those outside: `enter` costs nothing but the changes.

    Attributes:
        collection: As it was before.
        key: The columns of the key.
        stage: The stage that keeps it.
        stream: Its changes, behind that stage, in the loop where it is used.
    """

    collection: Collection
    key: tuple[str, ...]
    stage: Stage
    stream: FrameStream

    @classmethod
    def of(cls, collection: Collection, key: tuple[str, ...]) -> Arranged:
        """Arranges a collection.

        Raises:
            GraphError: There is no key, or no such column.
        """
        if not key:
            raise GraphError("arrange_by() needs at least one column")
        layout = collection.layout
        keyed = collection._keyed(key)
        places = layout.places(key)
        stage = keyed._then("arrange", lambda: Arrange(layout, places))
        return cls(collection, key, stage, collection.stream._with_schema(stage, layout.frame_schema))

    @property
    def context(self) -> LoopContext | None:
        """The loop in which it can be used."""
        return self.stream.context

    @property
    def schema(self) -> pl.Schema:
        """Of the rows."""
        return self.collection.schema

    def enter(self, loop: Loop | Collection) -> Arranged:
        """The same index inside a loop around which it lives.

        Args:
            loop: The loop, or a collection that lives in it.

        Raises:
            GraphError: It does not live around that loop.
        """
        context = loop.context
        if context is self.context:
            return self
        if context is None:
            raise GraphError("enter() takes a loop, or a collection that lives in one")
        flow = self.stream.flow
        outer = self
        if context.parent is not self.context:
            if context.parent is None:
                raise GraphError(f"what {self.stage.name!r} arranges does not live around the loop {context.name!r}")
            outer = self.enter(Loop.of(flow, context.parent))
        return replace(outer, stream=Loop.of(flow, context).enter(outer.stream))

    def joined_by(self, left: Collection, keys: Sequence[str], how: str, suffix: str) -> Collection:
        """See `Collection.join`, of which this is the right side.

        Raises:
            GraphError: It is arranged by another key; or another join than an inner one.
        """
        if tuple(keys) != self.key:
            raise GraphError(f"what is arranged by {', '.join(self.key)} cannot be joined on {', '.join(keys)}")
        if how != "inner":
            raise GraphError(f"a join with an arranged collection is an inner one, not {how!r}")
        left.check_joinable(self.schema, keys)
        layouts = (left.layout, self.collection.layout)
        places = tuple(layout.places(keys) for layout in layouts)
        schema = left.joined_schema(self.schema, keys, suffix)
        output = Layout(dict(schema), left.depth)
        arranged = self.stage
        stage = left._keyed(keys)._then(
            "join arranged",
            lambda: SharedJoin(layouts, places, output, lambda: arranged.name),
            self.stream.partition_by(*self.key),
        )
        loose = left.loose or self.collection.loose
        return Collection(left.stream._with_schema(stage, output.frame_schema), schema, loose=loose)
