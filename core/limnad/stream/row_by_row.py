"""Refuses expressions that make something of all rows of a batch where each row has to be taken for itself.

A batch is any part of an epoch: a sum, a rank or a shift over it is the answer to no question. Polars says of each part
of an expression whether it gives the same in batches, from version 2.1 on; where it says nothing, nothing is refused.
"""

from collections.abc import Iterable

import polars as pl

from limnad.timely.graph import GraphError


def check_row_by_row(operator: str, expressions: Iterable[object]) -> None:
    """Complains of an expression that is not row by row, for certain.

    >>> check_row_by_row("filter", [pl.col("x") > 1])

    Raises:
        GraphError: There is one.
    """
    for expression in expressions:
        if isinstance(expression, list | tuple):
            check_row_by_row(operator, expression)
        elif isinstance(expression, pl.Expr) and (part := _of_whole_batch(expression)) is not None:
            raise GraphError(
                f"{operator}() takes expressions row by row, and {part} makes something of all rows of a batch, which "
                "is any part of an epoch: count() and group_by(...).agg(...) answer for a whole epoch, and a join "
                "brings such an answer to the rows"
            )


def _of_whole_batch(expression: pl.Expr) -> pl.Expr | None:
    """The part of an expression that is not row by row."""
    told = _is_separable(expression)
    inputs = [] if told is None else expression.meta.pop()
    for each in inputs:
        if (part := _of_whole_batch(each)) is not None:
            return part
    if told is not False or _is_of_text(expression, inputs):
        return None
    # What only hands on, as a name or a cast, is what it stands on.
    return expression if all(_is_separable(each) is not False for each in inputs) else None


def _is_separable(expression: pl.Expr) -> bool | None:
    """Whether it is row by row; None: Polars need not tell, or cannot, as of columns by type or a user's function."""
    if expression.meta.is_literal() or not hasattr(expression.meta, "is_row_separable"):
        return None
    try:
        return bool(expression.meta.is_row_separable())
    except pl.exceptions.PolarsError:
        return None


def _is_of_text(expression: pl.Expr, inputs: list[pl.Expr]) -> bool:
    """Whether it reads texts, as ``str.to_datetime``: their format may be guessed from the first one."""
    return bool(inputs) and str(expression).startswith(f"{inputs[-1]}.str.") and not expression.meta.is_scalar()
