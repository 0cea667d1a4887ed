"""The operators of streams: each with the arguments it may have, as it is written in a job, and what it means.

The text of a job and that of its meaning are both Python: ``{0}`` and ``{1}`` are what the operator is applied to,
other names its arguments. Where Polars has a method of the same name, the meaning is that method, on all rows of an
epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
from hypothesis import strategies as st

from tests.helpers.stream_values import Schema, dtype_text, schema_text, values


class Unfit(Exception):
    """The operator cannot be applied to such a stream."""


@dataclass(frozen=True)
class Shape:
    """What a stream holds: frames, or records, which are tuples with a value for each column."""

    frames: bool
    schema: Schema

    def is_like(self, other: Shape) -> bool:
        """Whether they may be one stream; the order of columns counts."""
        return self == other and [*self.schema] == [*other.schema]


@dataclass
class Hand:
    """Draws an operator's arguments.

    Attributes:
        draw: Hypothesis's.
        shapes: Of the streams that it is applied to.
        name: Of the stream that it makes; new columns are named after it.
        gives: The columns of the records that come out, if they are other than those that went in.
    """

    draw: st.DrawFn
    shapes: list[Shape]
    name: str
    gives: Schema | None = None
    _made: int = 0

    @property
    def schema(self) -> Schema:
        return self.shapes[0].schema

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def fresh(self) -> str:
        self._made += 1
        return f"{self.name}_{self._made}"

    def column(self, fits: Callable[[pl.DataType], bool] = lambda _: True, side: int = 0) -> str:
        """A column that fits."""
        found = [name for name, dtype in self.shapes[side].schema.items() if fits(dtype)]
        if not found:
            raise Unfit
        return str(self.one_of(*found))

    def columns(self) -> list[str]:
        """One column or more."""
        most = self.one_of(1, 2, 3)
        return self.draw(st.lists(st.sampled_from([*self.schema]), min_size=1, max_size=most, unique=True))

    def place(self, fits: Callable[[pl.DataType], bool] = lambda _: True, side: int = 0) -> int:
        """Where in a record a column is."""
        return [*self.shapes[side].schema].index(self.column(fits, side))

    def literal(self, dtype: pl.DataType) -> str:
        """A value of a type."""
        return repr(self.draw(values(dtype)))


def hashable(dtype: pl.DataType) -> bool:
    """Whether values of a type can be keys of records."""
    return not dtype.is_nested()


def short(dtype: pl.DataType) -> bool:
    """Whether means are exact but for rounding: of large numbers those that cancel out leave noise."""
    return dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.Float64, pl.Float32, pl.Boolean)


def addable(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.Duration)


def ordered(dtype: pl.DataType) -> bool:
    return not dtype.is_nested()


Texts = dict[str, str]
Arguments = Callable[[Hand], Texts]


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        stream: As a job has it.
        meaning: As `tests.helpers.stream_references` and Polars say it.
        arguments: What it may be told.
        takes: To how many streams it is applied.
        ordered: Whether the order of rows is part of its answer.
        keeps: Whether it has state across epochs, and cannot be in a loop.
        grows: Whether there may be many more rows than before.
    """

    stream: str
    meaning: str
    arguments: Arguments = field(default=lambda _: {})
    takes: int = 1
    ordered: bool = False
    keeps: bool = False
    grows: bool = False


def same(text: str, arguments: Arguments = lambda _: {}, **more: Any) -> Operator:
    """An operator that Polars has by the same name."""
    return Operator(text, text, arguments, **more)


# -- arguments of operators on frames ----------------------------------------------------------------------------------


def predicate(hand: Hand) -> str:
    name = hand.column()
    dtype, column = hand.schema[name], f"pl.col({name!r})"
    choices = [f"{column}.is_not_null()"]
    if dtype == pl.Boolean:
        choices += [column, f"~{column}"]
    if ordered(dtype) and not isinstance(dtype, pl.Categorical | pl.Enum):
        literal = f"pl.lit({hand.literal(dtype)}, {dtype_text(dtype)})"
        choices += [f"({column} {sign} {literal})" for sign in ("==", ">", "<=")]
    return str(hand.one_of(*choices))


def expression(hand: Hand, *, constant: bool = True) -> str:
    """One value for each row, or a constant."""
    name = hand.column()
    dtype, column = hand.schema[name], f"pl.col({name!r})"
    choices = [column, f"{column}.is_null()"]
    choices += [f"pl.lit({each!r})" for each in (7, "é", None) if constant]
    choices.append(f"pl.when({predicate(hand)}).then({column})")
    if dtype.is_integer():
        choices += [f"{column} + 1", f"{column} * 2", f"{column} % 3", f"{column}.cast(pl.Float64)"]
    elif dtype.is_float():
        choices += [f"{column} * 2", f"{column}.is_nan()", f"{column}.floor()"]
    elif dtype == pl.String:
        choices += [f"{column} + 'é'", f"{column}.str.len_chars()", f"{column}.str.split('')"]
    elif isinstance(dtype, pl.List):
        choices += [f"{column}.list.len()", f"{column}.list.first()"]
    elif isinstance(dtype, pl.Struct):
        choices += [f"{column}.struct.field({field.name!r})" for field in dtype.fields]
    choices += [f"pl.struct({column})", f"pl.concat_list({column})"]
    return str(hand.one_of(*choices))


def merged(hand: Hand) -> str:
    """An aggregation whose parts can be merged."""
    kinds: list[tuple[str, Callable[[pl.DataType], bool]]] = [
        ("sum", addable),
        ("min", ordered),
        ("max", ordered),
        ("count", lambda _: True),
        ("mean", short),
        ("any", pl.Boolean().is_),
        ("all", pl.Boolean().is_),
    ]
    kind, fits = hand.one_of(*kinds)
    if hand.one_of(*range(6)) == 5:
        return "pl.len()"
    column = f"pl.col({hand.column(fits)!r})"
    if kind == "count":
        column = hand.one_of(column, f"({column} == {column})")
    return f"{column}.{kind}()"


def unmerged(hand: Hand) -> str:
    """An aggregation that needs all rows of a group at once."""
    name = hand.column()
    column = f"pl.col({name!r})"
    choices = [f"{column}.n_unique()", f"{column}.is_null().sum()", f"{column}.drop_nulls().len()"]
    choices += [f"({column}.count() + pl.len())", f"{column}.filter({predicate(hand)}).len()"]
    choices += [f"pl.lit(3).{each}()" for each in ("sum", "count", "max")]
    if short(hand.schema[name]):
        choices.append(f"{column}.median()")
    return str(hand.one_of(*choices))


def ordering(hand: Hand) -> str:
    """An aggregation that depends on the order of rows."""
    column = f"pl.col({hand.column()!r})"
    return str(hand.one_of(f"{column}.first()", f"{column}.last()", f"{column}.head(2)", column))


def aggregations(hand: Hand, *kinds: Callable[[Hand], str]) -> Texts:
    several = [hand.one_of(*kinds)(hand) for _ in range(hand.one_of(1, 2, 3))]
    return {"aggregations": ", ".join(f"{each}.alias({hand.fresh()!r})" for each in several)}


def grouping(hand: Hand) -> Texts:
    by = [repr(name) for name in hand.columns()]
    if hand.one_of(False, False, True):
        # Polars makes a group of a constant of no rows at all; here a time without rows has no groups.
        by = [f"({expression(hand, constant=False)}).alias({hand.fresh()!r})"]
    return {"by": ", ".join(by)}


def renaming(hand: Hand) -> Texts:
    return {"mapping": repr({hand.column(lambda _: True): hand.fresh()})}


def joining(hand: Hand) -> Texts:
    left, right = (shape.schema for shape in hand.shapes)
    common = [name for name in left if right.get(name) == left[name]]
    if not common:
        raise Unfit
    on = hand.draw(st.lists(st.sampled_from(common), min_size=1, max_size=2, unique=True))
    return {"on": repr(on)}


def like(hand: Hand) -> Texts:
    """The other stream has to be of the same kind."""
    if not hand.shapes[0].is_like(hand.shapes[1]):
        raise Unfit
    return {}


def order(hand: Hand) -> Texts:
    return {"by": repr(hand.column(ordered)), "down": str(hand.one_of(False, True)), "k": str(hand.one_of(1, 2, 5))}


def totals(hand: Hand) -> Texts:
    return {**aggregations(hand, merged), "by": repr(hand.column())}


def _frame_join(how: str, **more: Any) -> Operator:
    stream = f"{{0}}.join({{1}}, on={{on}}, how={how!r})"
    return Operator(stream, f"frames_joined({{0}}, {{1}}, {{on}}, {how!r})", joining, **more)


FRAMES: Final = {
    "filter": same("{0}.filter({p})", lambda h: {"p": predicate(h)}),
    "select": same(
        "{0}.select({names}, {e})",
        lambda h: {
            "names": ", ".join(map(repr, h.columns())),
            "e": f"({expression(h)}).alias({h.fresh()!r})",
        },
    ),
    "with_columns": same("{0}.with_columns({new}={e})", lambda h: {"new": h.fresh(), "e": expression(h)}),
    "rename": same("{0}.rename({mapping})", renaming),
    "drop": same("{0}.drop({column})", lambda h: {"column": repr(h.column()) if len(h.schema) > 1 else _unfit()}),
    "explode": same("{0}.explode({column})", lambda h: {"column": repr(h.column(lambda t: isinstance(t, pl.List)))}),
    "map_batches": Operator("{0}.map_batches(lambda f: f[1:].vstack(f[:1]))", "{0}"),
    "agg": same("{0}.group_by({by}).agg({aggregations})", lambda h: {**grouping(h), **aggregations(h, merged)}),
    "agg of whole groups": same(
        "{0}.group_by({by}).agg({aggregations})", lambda h: {**grouping(h), **aggregations(h, unmerged, merged)}
    ),
    "agg in order": Operator(
        "{0}.group_by({by}).agg({aggregations})",
        "in_order({0}).group_by({by}).agg({aggregations})",
        lambda h: {**grouping(h), **aggregations(h, ordering, ordering, unmerged)},
    ),
    "group_by len": same("{0}.group_by({by}).len({new})", lambda h: {**grouping(h), "new": repr(h.fresh())}),
    "unique": same("{0}.unique()"),
    "unique of columns": Operator(
        "{0}.unique({names})",
        "in_order({0}).unique([{names}], keep='first')",
        lambda h: {"names": ", ".join(map(repr, h.columns()))},
    ),
    "sort": Operator(
        "{0}.sort({by}, descending={down})", "sorted_by({0}, {by}, descending={down})", order, ordered=True
    ),
    "top_k": Operator(
        "{0}.top_k({k}, {by}, descending={down})",
        "sorted_by({0}, {by}, descending={down}).head({k})",
        order,
        ordered=True,
    ),
    "count": Operator("{0}.count({new})", "counted({0}, {new})", lambda h: {"new": repr(h.fresh())}),
    "inner join": _frame_join("inner", takes=2, grows=True),
    "left join": _frame_join("left", takes=2, grows=True),
    "semi join": _frame_join("semi", takes=2),
    "anti join": _frame_join("anti", takes=2),
    "concat": Operator("{0}.concat({1})", "pl.concat([{0}, {1}])", like, takes=2),
    "partition_by": Operator("{0}.partition_by({column})", "{0}", lambda h: {"column": repr(h.column())}),
    "to_worker": Operator("{0}.to_worker({n})", "{0}", lambda h: {"n": str(h.one_of(0, 1, 6))}),
    "broadcast": Operator("{0}.broadcast().unique()", "{0}.unique()"),
    "running": Operator(
        "{0}.group_by({by}).running({aggregations}).named({name!r})",
        "kept.running({name!r}, {0}, {by}, [{aggregations}])",
        totals,
        keeps=True,
    ),
    "to_records": Operator("{0}.to_records()", "{0}.rows()", lambda h: records(h, h.schema)),
    "to_records named": Operator(
        "{0}.to_records(named=True).map(lambda d: tuple(d.values()))",
        "[tuple(d.values()) for d in {0}.rows(named=True)]",
        lambda h: records(h, h.schema),
    ),
}


def _unfit() -> str:
    raise Unfit


# -- arguments of operators on records ---------------------------------------------------------------------------------


def records(hand: Hand, gives: Schema, **texts: Any) -> Texts:
    """Arguments, and the columns of what comes out."""
    hand.gives = gives
    return {name: str(text) for name, text in texts.items()}


def numbers(hand: Hand, count: int = 1) -> Schema:
    return {hand.fresh(): pl.Int64() for _ in range(count)}


def remapped(hand: Hand) -> Texts:
    names = hand.columns()
    places = [[*hand.schema].index(name) for name in names]
    picked = ", ".join(f"r[{place}]" for place in places)
    new = {hand.fresh(): pl.Boolean()}
    return records(hand, {**{n: hand.schema[n] for n in names}, **new}, f=f"lambda r: ({picked}, {tested(hand)})")


def tested(hand: Hand) -> str:
    name = hand.column()
    place, dtype = [*hand.schema].index(name), hand.schema[name]
    return str(hand.one_of(f"r[{place}] is None", f"r[{place}] == {hand.literal(dtype)}"))


def by_key(hand: Hand, *columns: pl.DataType) -> Texts:
    """A key of one column or two, and columns that come behind it."""
    name = hand.column(hashable)
    place = [*hand.schema].index(name)
    key = f"lambda r: {hand.one_of(f'r[{place}]', f'(r[{place}], {tested(hand)})[0]')}"
    new = {hand.fresh(): dtype for dtype in columns}
    return records(hand, {name: hand.schema[name], **new}, key=key, i=hand.place())


def by_keys(hand: Hand) -> Texts:
    """Keys of both sides, of one type; and how many columns the right side has."""
    left, right = (shape.schema for shape in hand.shapes)
    name = hand.column(hashable)
    other = hand.column(lambda dtype: dtype == left[name], side=1)
    new = {hand.fresh(): dtype for dtype in right.values()}
    i, j = [*left].index(name), [*right].index(other)
    return records(hand, {**left, **new}, i=i, j=j, n=len(right))


def by_keys_of_left(hand: Hand) -> Texts:
    return {**by_keys(hand), **records(hand, hand.schema)}


def plain(hand: Hand) -> Texts:
    if not all(map(hashable, hand.schema.values())):
        raise Unfit
    return {}


_PAIR = "lambda p: (p[0], p[1])"
_SUM = "lambda a, b: (a + b) % 101"
_BOTH = "lambda a, b: (a[0] + b[0], max(a[1], b[1]))"
_ADD = "lambda a, r: (a[0] + 1, max(a[1], len(shown(r[{i}]))))"
_STEP = "lambda s, v: (s + 1, (s, v))"
_KEYED = "{0}.key_by({key})"
_PAIRS = "keyed({0}, {key})"
_WEIGHED = "[(k, len(shown(r[{i}]))) for k, r in keyed({0}, {key})]"
_JOIN = "{0}.key_by(lambda r: r[{i}]).join({1}.key_by(lambda r: r[{j}]), how='HOW')"
_JOINED = "joined(keyed({0}, lambda r: r[{i}]), keyed({1}, lambda r: r[{j}]), 'HOW')"


def _record_join(how: str, out: str, arguments: Arguments, *, grows: bool) -> Operator:
    stream, meaning = _JOIN.replace("HOW", how), _JOINED.replace("HOW", how)
    return Operator(f"{stream}.map({out})", f"[({out})(p) for p in {meaning}]", arguments, takes=2, grows=grows)


RECORDS: Final = {
    "filter": Operator("{0}.filter(lambda r: {test})", "[r for r in {0} if {test}]", lambda h: {"test": tested(h)}),
    "map": Operator("{0}.map({f})", "[({f})(r) for r in {0}]", remapped),
    "flat_map": Operator(
        "{0}.flat_map(lambda r: [r] * (2 if {test} else {n}))",
        "[r for r in {0} for _ in range(2 if {test} else {n})]",
        lambda h: {"test": tested(h), "n": str(h.one_of(0, 1))},
    ),
    "map_batches": Operator("{0}.map_batches(lambda rs: rs[::-1])", "{0}"),
    "distinct": Operator("{0}.distinct()", "different({0})", plain),
    "count": Operator(
        "{0}.count().map(lambda n: (n,))", "[(len({0}),)] if {0} else []", lambda h: records(h, numbers(h))
    ),
    "reduce": Operator(
        f"{{0}}.map(lambda r: len(shown(r[{{i}}]))).reduce({_SUM}).map(lambda n: (n,))",
        f"[(n,) for n in reduced([len(shown(r[{{i}}])) for r in {{0}}], {_SUM})]",
        lambda h: records(h, numbers(h), i=h.place()),
    ),
    "aggregate": Operator(
        f"{{0}}.aggregate(lambda: (0, 0), {_ADD}, {_BOTH})",
        "[(len({0}), max(len(shown(r[{i}])) for r in {0}))] if {0} else []",
        lambda h: records(h, numbers(h, 2), i=h.place()),
    ),
    "min": Operator("{0}.min(key=shown)", "[min({0}, key=shown)] if {0} else []"),
    "max": Operator("{0}.max(key=shown)", "[max({0}, key=shown)] if {0} else []"),
    "count_by_key": Operator(
        f"{_KEYED}.count_by_key().map({_PAIR})",
        f"[(k, len(vs)) for k, vs in grouped({_PAIRS})]",
        lambda h: by_key(h, pl.Int64()),
    ),
    "reduce_by_key": Operator(
        f"{_KEYED}.map_values(lambda r: len(shown(r[{{i}}]))).reduce_by_key({_SUM}).map({_PAIR})",
        f"reduced_by_key({_WEIGHED}, {_SUM})",
        lambda h: by_key(h, pl.Int64()),
    ),
    "min_by_key": Operator(
        f"{_KEYED}.map_values(shown).min_by_key().map({_PAIR})",
        f"[(k, min(map(shown, rs))) for k, rs in grouped({_PAIRS})]",
        lambda h: by_key(h, pl.String()),
    ),
    "max_by_key": Operator(
        f"{_KEYED}.map_values(shown).max_by_key().map({_PAIR})",
        f"[(k, max(map(shown, rs))) for k, rs in grouped({_PAIRS})]",
        lambda h: by_key(h, pl.String()),
    ),
    "aggregate_by_key": Operator(
        f"{_KEYED}.aggregate_by_key(lambda: (0, 0), {_ADD}, {_BOTH}).map(lambda p: (p[0], *p[1]))",
        f"[(k, len(ws), max(ws)) for k, ws in grouped({_WEIGHED})]",
        lambda h: by_key(h, pl.Int64(), pl.Int64()),
    ),
    "group": Operator(
        f"{_KEYED}.map_values(shown).group().flat_map(lambda p: [(p[0], *v) for v in enumerate(p[1])])",
        f"[(k, *v) for k, rs in grouped({_PAIRS}) for v in enumerate(sorted(map(shown, rs)))]",
        lambda h: by_key(h, pl.Int64(), pl.String()),
    ),
    "group_by": Operator(
        "{0}.group_by({key}).map(lambda p: (p[0], len(p[1])))",
        f"[(k, len(vs)) for k, vs in grouped({_PAIRS})]",
        lambda h: by_key(h, pl.Int64()),
    ),
    "inner join": _record_join("inner", "lambda p: (*p[1][0], *p[1][1])", by_keys, grows=True),
    "left join": _record_join("left", "lambda p: (*p[1][0], *(p[1][1] or [None] * {n}))", by_keys, grows=True),
    "semi join": _record_join("semi", "lambda p: p[1]", by_keys_of_left, grows=False),
    "anti join": _record_join("anti", "lambda p: p[1]", by_keys_of_left, grows=False),
    "concat": Operator("{0}.concat({1})", "{0} + {1}", like, takes=2),
    "partition_by": Operator("{0}.partition_by(lambda r: r[{i}])", "{0}", lambda h: {"i": str(h.place(hashable))}),
    "route": Operator("{0}.route(lambda r: len(shown(r)))", "{0}"),
    "to_worker": Operator("{0}.to_worker({n})", "{0}", lambda h: {"n": str(h.one_of(0, 1, 6))}),
    "broadcast": Operator("{0}.broadcast().distinct()", "different({0})", plain),
    "scan": Operator(
        f"{_KEYED}.map_values(shown).scan(lambda: 0, {_STEP}, {{name!r}}).map(lambda p: (p[0], *p[1]))",
        f"[(k, *v) for k, v in kept.scanned({{name!r}}, [(k, shown(r)) for k, r in {_PAIRS}], lambda: 0, {_STEP})]",
        lambda h: by_key(h, pl.Int64(), pl.String()),
        keeps=True,
    ),
    "to_frames": Operator(
        "{0}.to_frames({schema})",
        "pl.DataFrame({0}, {schema}, orient='row')",
        lambda h: {"schema": schema_text(h.schema)},
    ),
}
