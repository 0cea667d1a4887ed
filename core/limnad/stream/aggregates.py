"""Splits Polars aggregations into a part before the exchange and a part behind it.

``sum`` of ``sum``s is ``sum``: where that is known, each worker aggregates its own rows first and exchanges one row per
key. Polars tells nothing of this, so an expression is taken apart by its public ``meta`` and compared with what we
would have built ourselves; what is not recognised goes over as raw rows, which is slower and never wrong.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

Unary = Callable[[pl.Expr], pl.Expr]
Binary = Callable[[pl.Expr, pl.Expr], pl.Expr]

_ELEMENTWISE: tuple[Binary, ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / b,
    lambda a, b: a // b,
    lambda a, b: a % b,
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a & b,
    lambda a, b: a | b,
)

_OF_ONE: tuple[Unary, ...] = (
    pl.Expr.is_null,
    pl.Expr.is_not_null,
    pl.Expr.is_nan,
    pl.Expr.is_not_nan,
    pl.Expr.not_,
    pl.Expr.neg,
    pl.Expr.abs,
    pl.Expr.drop_nulls,
    pl.Expr.drop_nans,
)

_ORDER_FREE: tuple[Unary, ...] = (
    pl.Expr.len,
    pl.Expr.count,
    pl.Expr.sum,
    pl.Expr.mean,
    pl.Expr.min,
    pl.Expr.max,
    pl.Expr.any,
    pl.Expr.all,
    pl.Expr.n_unique,
    pl.Expr.null_count,
    pl.Expr.median,
    pl.Expr.std,
    pl.Expr.var,
)
"""Aggregations that give the same whatever order a group's rows are in."""


@dataclass
class Plan:
    """An aggregation in three steps.

    Attributes:
        partial: Per worker, over raw rows.
        merge: Partial results of one key into one, any number of times; the same columns again.
        finish: From merged partials to the columns that were asked for.
        answer: `merge` and `finish` in one, which takes 0.6 of the time for a few rows.
    """

    partial: list[pl.Expr] = field(default_factory=list)
    merge: list[pl.Expr] = field(default_factory=list)
    finish: list[pl.Expr] = field(default_factory=list)
    answer: list[pl.Expr] = field(default_factory=list)


def flat(aggregations: tuple[pl.Expr | Iterable[pl.Expr], ...], named: dict[str, pl.Expr]) -> list[pl.Expr]:
    """Aggregations as Polars takes them, in one list."""
    exprs: list[pl.Expr] = []
    for aggregation in aggregations:
        exprs += [aggregation] if isinstance(aggregation, pl.Expr) else list(aggregation)
    return exprs + [expr.alias(name) for name, expr in named.items()]


def plan(aggregations: Sequence[pl.Expr], outputs: pl.Schema) -> Plan | None:
    """The three steps, or None if some aggregation cannot be split.

    Args:
        aggregations: As given to ``agg``.
        outputs: The schema of the whole aggregation's answer.
    """
    made = Plan()
    for number, aggregation in enumerate(aggregations):
        if aggregation.meta.has_multiple_outputs():
            return None
        name = aggregation.meta.output_name()
        if not _add(made, f"__limnad_{number}", aggregation.meta.undo_aliases(), name, outputs[name]):
            return None
    return made


def _add(made: Plan, column: str, bare: pl.Expr, name: str, dtype: pl.DataType) -> bool:
    if _same(bare, pl.len()):
        _add_sum(made, column, pl.len().cast(pl.Int64), name, dtype)
        return True
    inputs = bare.meta.pop()
    # A literal's sum is the literal, once for a group and not once for a row of it: parts of that cannot be merged.
    if len(inputs) != 1 or not inputs[0].meta.root_names() or not _is_row_by_row(inputs[0]):
        return False
    inner = inputs[0]
    if _same(bare, inner.sum()):
        _add_sum(made, column, inner.sum(), name, dtype)
    elif _same(bare, inner.count()):
        _add_sum(made, column, inner.count().cast(pl.Int64), name, dtype)
    elif _same(bare, inner.mean()) and dtype in (pl.Float64, pl.Float32):
        _add_mean(made, column, inner, name, dtype)
    else:
        return _add_idempotent(made, column, bare, inner, name)
    return True


def _add_sum(made: Plan, column: str, partial: pl.Expr, name: str, dtype: pl.DataType) -> None:
    made.partial.append(partial.alias(column))
    made.merge.append(pl.col(column).sum())
    made.finish.append(pl.col(column).cast(dtype).alias(name))
    made.answer.append(pl.col(column).sum().cast(dtype).alias(name))


def _add_mean(made: Plan, column: str, inner: pl.Expr, name: str, dtype: pl.DataType) -> None:
    total, count = f"{column}_sum", f"{column}_count"
    made.partial += [inner.cast(pl.Float64).sum().alias(total), inner.count().cast(pl.Int64).alias(count)]
    made.merge += [pl.col(total).sum(), pl.col(count).sum()]

    def answer(total: pl.Expr, count: pl.Expr) -> pl.Expr:
        return pl.when(count > 0).then(total / count).cast(dtype).alias(name)

    made.finish.append(answer(pl.col(total), pl.col(count)))
    made.answer.append(answer(pl.col(total).sum(), pl.col(count).sum()))


def _add_idempotent(made: Plan, column: str, bare: pl.Expr, inner: pl.Expr, name: str) -> bool:
    """Aggregations whose merge is themselves."""
    for again in (pl.Expr.min, pl.Expr.max, pl.Expr.any, pl.Expr.all):
        if _same(bare, again(inner)):
            made.partial.append(bare.alias(column))
            made.merge.append(again(pl.col(column)))
            made.finish.append(pl.col(column).alias(name))
            made.answer.append(again(pl.col(column)).alias(name))
            return True
    return False


def needs_order(aggregation: pl.Expr) -> bool:
    """Whether an aggregation may depend on the order of a group's rows, as ``first`` does, or a bare column."""
    bare = aggregation.meta.undo_aliases()
    if bare.meta.is_literal() or _same(bare, pl.len()):
        return False
    inputs = bare.meta.pop()
    if len(inputs) == 2:
        return not _is_combined(bare, inputs) or any(map(needs_order, inputs))
    if len(inputs) != 1 or not _is_row_by_row(inputs[0]):
        return True
    return not any(_same(bare, aggregate(inputs[0])) for aggregate in _ORDER_FREE)


def _is_row_by_row(expression: pl.Expr) -> bool:
    """Whether each row gives a value, or none, that depends on that row only, as far as we can tell."""
    if expression.meta.is_column() or expression.meta.is_literal():
        return True
    inputs = expression.meta.pop()
    if not all(map(_is_row_by_row, inputs)):
        return False
    if len(inputs) == 1:
        return any(_same(expression, change(inputs[0])) for change in _OF_ONE)
    return len(inputs) == 2 and (_is_combined(expression, inputs) or _is_filtered(expression, inputs))


def _is_combined(expression: pl.Expr, inputs: Sequence[pl.Expr]) -> bool:
    right, left = inputs
    return any(_same(expression, combined(left, right)) for combined in _ELEMENTWISE)


def _is_filtered(expression: pl.Expr, inputs: Sequence[pl.Expr]) -> bool:
    predicate, rows = inputs
    return bool(rows.meta.root_names()) and _same(expression, rows.filter(predicate))


def _same(left: pl.Expr, right: pl.Expr) -> bool:
    return left.meta.eq(right)
