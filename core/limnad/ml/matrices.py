"""From columns of frames to matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part
from limnad.errors import JobError
from limnad.timely.graph import GraphError


def check_features(caller: str, schema: pl.Schema, columns: Sequence[str]) -> None:
    """Columns are there and numeric.

    Raises:
        GraphError: One is not, or there is none.
    """
    if not columns:
        raise GraphError(f"{caller} needs at least one feature")
    for column in columns:
        if column not in schema:
            raise GraphError(f"{caller} has no column {column!r} to use: there are {', '.join(schema)}")
        if not (schema[column].is_numeric() or schema[column] == pl.Boolean):
            raise GraphError(f"{caller} takes numbers, but column {column!r} is {schema[column]}: cast it first")


def matrix(part: Part, port: int, columns: Sequence[str]) -> npt.NDArray[np.float64]:
    """All rows of an input as one matrix of floats.

    Raises:
        JobError: A value is null, which is no number.
    """
    frame = part.frame(port, dict.fromkeys(columns, pl.Float64))
    for column in columns:
        if frame[column].null_count():
            raise JobError(f"column {column!r} has nulls: fill_null() or drop those rows before they are learned from")
    floats = frame.select(pl.col(column).cast(pl.Float64) for column in columns)
    return np.ascontiguousarray(floats.to_numpy(), dtype=np.float64).reshape(len(frame), len(columns))
