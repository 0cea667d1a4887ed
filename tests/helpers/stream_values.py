"""Columns of every type for random streams: which types there are, their values, and both as text to paste."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import strategies as st

Schema = dict[str, pl.DataType]

INTEGERS = (pl.Int64(), pl.Int8(), pl.Int16(), pl.Int32(), pl.UInt8(), pl.UInt16(), pl.UInt32(), pl.UInt64())
COMMON = (pl.String(), pl.Float64(), pl.Boolean())
DTYPES: tuple[pl.DataType, ...] = (
    *INTEGERS,
    *COMMON,
    pl.Float32(),
    pl.Date(),
    pl.Datetime("us"),
    pl.Datetime("ms", "Europe/Berlin"),
    pl.Duration("us"),
    pl.Time(),
    pl.Decimal(10, 2),
    pl.Categorical(),
    pl.Enum(["b", "a", "ä"]),
    pl.Binary(),
    pl.List(pl.Int64()),
    pl.List(pl.String()),
    pl.Struct({"x": pl.Int32(), "y": pl.String()}),
)

_FLOATS = (0.0, 1.5, -0.0, -2.25, float("nan"), float("inf"), float("-inf"), 3.0)
"""Their sums are exact in any order: those of others are so but for rounding (docs/jobs.md)."""

_DAY = dt.date(2024, 3, 31)  # A day of 23 hours in Berlin.
_PLAIN: dict[Any, tuple[Any, ...]] = {
    pl.String: ("a", "", "b", "ä", "日本", "a longer one than 12 bytes"),
    pl.Boolean: (False, True),
    pl.Float64: _FLOATS,
    pl.Float32: _FLOATS,
    pl.Date: (_DAY, dt.date(1969, 12, 31)),
    pl.Duration: (dt.timedelta(0), dt.timedelta(days=-1, microseconds=7)),
    pl.Time: (dt.time(0), dt.time(23, 59, 59, 999_999)),
    pl.Decimal: (Decimal("0.00"), Decimal("1.10"), Decimal("-2.20")),
    pl.Categorical: ("b", "a", "ä"),
    pl.Enum: ("b", "a", "ä"),
    pl.Binary: (b"", b"\xff", b"a"),
}


def values(dtype: pl.DataType) -> st.SearchStrategy[Any]:
    """Values of a type: few, so that they meet, and the awkward ones among them; null with all."""
    some = _some(dtype)
    return st.one_of(some, some, some, st.none())


def _some(dtype: pl.DataType) -> st.SearchStrategy[Any]:
    if dtype.is_integer():
        low, high = _bounds(dtype)
        return st.sampled_from([0, 1, 2, 3, 5, 7, high, low])
    if isinstance(dtype, pl.Datetime):
        hours = st.sampled_from([0, 3, 12])
        moments = hours.map(lambda hour: dt.datetime.combine(_DAY, dt.time(hour)))
        zone = ZoneInfo(dtype.time_zone) if dtype.time_zone else None
        return moments.map(lambda moment: moment.replace(tzinfo=zone))
    if isinstance(dtype, pl.List):
        return st.lists(values(dtype.inner), max_size=3)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return st.fixed_dictionaries({field.name: values(field.dtype) for field in dtype.fields})  # type: ignore[arg-type]
    return st.sampled_from(_PLAIN[type(dtype)])


def _bounds(dtype: pl.DataType) -> tuple[int, int]:
    bits = int(str(dtype).lstrip("UInt"))
    return (0, (1 << bits) - 1) if str(dtype).startswith("U") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def dtype_text(dtype: pl.DataType) -> str:
    """A type as a person writes it.

    >>> dtype_text(pl.List(pl.Int64()))
    'pl.List(pl.Int64)'
    """
    if isinstance(dtype, pl.List):
        return f"pl.List({dtype_text(dtype.inner)})"  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return f"pl.Struct({schema_text({field.name: field.dtype for field in dtype.fields})})"  # type: ignore[misc]
    return "pl.Categorical()" if dtype == pl.Categorical else f"pl.{dtype!r}"


def schema_text(schema: Schema) -> str:
    """A schema as a person writes it."""
    return "{" + ", ".join(f"{name!r}: {dtype_text(dtype)}" for name, dtype in schema.items()) + "}"


@st.composite
def rows_of_epochs(draw: st.DrawFn, schema: Schema, most: int = 10) -> list[list[tuple[Any, ...]]]:
    """Rows of some epochs; a column has few different values, so that there are groups and matches."""
    few = [draw(st.lists(values(dtype), min_size=1, max_size=3)) for dtype in schema.values()]
    row = st.tuples(*map(st.sampled_from, few))
    return draw(st.lists(st.lists(row, max_size=most), min_size=1, max_size=4))
