"""The monotone operators, and a check that a stream is made of such alone."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limnad import FrameStream, GraphError
from limnad.monotone.vertices import Best, Distinct, Join
from limnad.stream.base import AnyStream
from limnad.timely.coordination import upstream, waits


def distinct(stream: FrameStream, name: str = "distinct as they come") -> FrameStream:
    """Each different row, when it first comes.

    Laws: the set of rows up to a time is that of the input; a row comes at a time only if it has not come at that time
    or before.

    Args:
        stream: Inside a loop or outside.
        name: The stage's name, by which its state is found again.
    """
    empty = pl.DataFrame(schema=stream.schema)
    found: FrameStream = stream.flow.vertex(
        lambda: Distinct(empty, stream.context),
        stream.partition_by(*stream.schema),
        name=name,
        schemas=[stream.schema],
    )
    return found


def best(
    stream: FrameStream, by: str | Sequence[str], value: str, *, largest: bool = True, name: str = "best as they come"
) -> FrameStream:
    """Rows that are better than all that have come of their key.

    Laws: up to any time the best value of a key is that of the input; and what comes of a key grows (falls).

    Args:
        stream: Inside a loop or outside.
        by: The columns of the key.
        value: The column that is compared.
        largest: Whether larger is better.
        name: The stage's name, by which its state is found again.

    Raises:
        GraphError: A column is missing.
    """
    keys = [by] if isinstance(by, str) else list(by)
    if value not in stream.schema or value in keys:
        raise GraphError(
            f"best() compares a column beside the key, not {value!r}: there are {', '.join(stream.schema)}"
        )
    columns = [*keys, value]
    rows = stream.select(*columns)
    empty = pl.DataFrame(schema=rows.schema)
    found: FrameStream = stream.flow.vertex(
        lambda: Best(empty, keys, value, stream.context, largest=largest),
        rows.partition_by(*keys),
        name=name,
        schemas=[rows.schema],
    )
    return found


def join(
    left: FrameStream,
    right: FrameStream,
    on: str | Sequence[str],
    *,
    how: str = "inner",
    name: str = "join as they come",
) -> FrameStream:
    """Each pair of rows with equal keys, when its later row comes; up to any time, all pairs of rows up to that time.

    Args:
        left: Inside a loop or outside.
        right: Of the same loop.
        on: Columns that both have; a null equals nothing.
        how: ``"inner"``.
        name: The stage's name, by which its state is found again.

    Raises:
        GraphError: A column is missing; or another ``how``, which a row to come would make wrong.
    """
    keys = [on] if isinstance(on, str) else list(on)
    if how != "inner":
        raise GraphError(
            f"a join of sets that grow is 'inner', not {how!r}: that a row has no match (left, anti) can be known only "
            "when no more rows come, and FrameStream.join waits for that; of 'semi', take distinct() of an inner join"
        )
    for key in keys:
        if left.schema.get(key) is None or left.schema.get(key) != right.schema.get(key):
            raise GraphError(f"cannot join on {key!r}: {left.schema.get(key)} here, {right.schema.get(key)} there")
    empties = pl.DataFrame(schema=left.schema), pl.DataFrame(schema=right.schema)
    found: FrameStream = left.flow.vertex(
        lambda: Join(*empties, keys, left.context),
        left.partition_by(*keys),
        right.partition_by(*keys),
        name=name,
        schemas=[empties[0].join(empties[1], on=keys).schema],
    )
    return found


def uncoordinated(stream: AnyStream) -> AnyStream:
    """The same stream, if no stage that it comes from waits.

    Raises:
        GraphError: One does; the message names it and says why.
    """
    found = waits(upstream(stream.stage, stream.flow.builder.connectors))
    if found:
        told = "; ".join(f"{wait.stage.name!r} {wait.why}" for wait in found)
        raise GraphError(
            f"{stream.stage.name!r} is not free of coordination: {told}. Operators row by row and those of "
            "limnad.monotone do not wait; what needs a whole time belongs behind what is to be free"
        )
    return stream
