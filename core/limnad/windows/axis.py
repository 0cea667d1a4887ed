"""Event times as integers: what a column of times counts, and how long a span is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import polars as pl

from limnad import GraphError

Span: TypeAlias = int | timedelta
"""A length of time: a `timedelta` for dates and datetimes, an integer for integers."""


@dataclass(frozen=True)
class TimeAxis:
    """The type of a column of times; inside, times are `polars.Int64` in its own units.

    >>> TimeAxis(pl.Datetime("ms")).units(timedelta(seconds=2), "every")
    2000

    Attributes:
        dtype: An integer, `polars.Date`, or `polars.Datetime` of any unit and zone.
    """

    dtype: pl.DataType

    @classmethod
    def of(cls, schema: Mapping[str, pl.DataType], column: str) -> TimeAxis:
        """That of a column.

        Raises:
            GraphError: There is no such column, or it holds no times.
        """
        dtype = schema.get(column)
        if dtype is None:
            raise GraphError(f"there is no column {column!r} with the event time; there are {', '.join(schema)}")
        if not (dtype.is_integer() or isinstance(dtype, (pl.Date, pl.Datetime))):
            raise GraphError(
                f"the column {column!r} is {dtype}: an event time is a Datetime, a Date or an integer; cast it"
            )
        return cls(dtype)

    def units(self, span: Span, what: str, least: int = 1) -> int:
        """How many units of the axis a span has.

        Raises:
            GraphError: It has the wrong type, is no whole number of units, or is less than ``least`` units.
        """
        units: Any = span
        if self.dtype.is_integer() is isinstance(span, timedelta):
            wanted = "an integer" if self.dtype.is_integer() else "a timedelta"
            raise GraphError(f"{what} is {span!r}, but for event times of type {self.dtype} it is {wanted}")
        if isinstance(span, timedelta):
            unit = self._unit
            if span % unit:
                raise GraphError(f"{what} is {span}, which is no whole number of {self.dtype}'s units of {unit}")
            units = (
                span // unit * (1_000 if isinstance(self.dtype, pl.Datetime) and self.dtype.time_unit == "ns" else 1)
            )
        if units < least:
            raise GraphError(f"{what} is {span!r}: it is to be {'positive' if least else 'zero or more'}")
        return int(units)

    @property
    def _unit(self) -> timedelta:
        if isinstance(self.dtype, pl.Date):
            return timedelta(days=1)
        assert isinstance(self.dtype, pl.Datetime)
        return timedelta(milliseconds=1) if self.dtype.time_unit == "ms" else timedelta(microseconds=1)

    def to_units(self, time: pl.Expr) -> pl.Expr:
        """From a column of this type to units."""
        return time.to_physical().cast(pl.Int64)

    def from_units(self, units: pl.Expr) -> pl.Expr:
        """And back."""
        return (units.cast(pl.Int32) if isinstance(self.dtype, pl.Date) else units).cast(self.dtype)

    def value(self, units: int) -> Any:
        """One time as Python has it."""
        return pl.Series([units], dtype=pl.Int64).to_frame("t").select(self.from_units(pl.col("t"))).item()

    def units_of(self, value: Any) -> int:
        """And back.

        Raises:
            TypeError: It is no time of this type.
        """
        return int(pl.Series([value], dtype=self.dtype, strict=True).to_physical()[0])
