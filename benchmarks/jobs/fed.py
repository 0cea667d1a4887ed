"""Takes what is pushed, and counts it."""

import polars as pl

import limnad


def job(flow: limnad.Flow) -> None:
    """One input of two columns."""
    fed = flow.input("rows", schema={"key": pl.Int64, "value": pl.Int64})
    fed.count().output("rows")
