"""Random programs of stream operators: a program is text, a job and beside it what that job means.

A program is drawn step by step: some operator of `tests.helpers.stream_operators`, applied to streams that are there
already, with arguments that fit their columns. A loop's body is a program of its own. What is drawn is written down
twice, as a job and as plain Python; what its frames' columns are is found by running the latter on no rows. What fails
is shown as a script to run.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from textwrap import indent
from typing import Any, Final

import polars as pl
from hypothesis import strategies as st

from tests.helpers import stream_references
from tests.helpers.stream_operators import FRAMES, RECORDS, Hand, Operator, Shape, Unfit
from tests.helpers.stream_values import COMMON, DTYPES, INTEGERS, rows_of_epochs, schema_text

_IMPORTS: Final = """\
import datetime
import zoneinfo
from decimal import Decimal

import polars as pl

from limnad.testing import run
from tests.helpers.stream_references import *

nan, inf = float("nan"), float("inf")
"""
_NAMES: Final[dict[str, Any]] = {
    **{name: value for name, value in vars(stream_references).items() if not name.startswith("_")},
    "pl": pl,
    "datetime": dt,
    "zoneinfo": zoneinfo,
    "Decimal": Decimal,
    "nan": float("nan"),
    "inf": float("inf"),
}


@dataclass(frozen=True)
class Program:
    """A job, what it means, and its inputs.

    Attributes:
        job: The source of a function ``job(flow)``.
        meaning: The source of ``meaning(kept, epoch)``: from the inputs' rows of an epoch to the outputs' rows.
        inputs: For each input what it holds, and the rows of its epochs.
        ordered: The outputs whose rows have an order.
    """

    job: str
    meaning: str
    inputs: Mapping[str, tuple[Shape, list[list[tuple[Any, ...]]]]]
    ordered: frozenset[str]

    def __repr__(self) -> str:
        given = ",\n".join(f"    {name!r}: {_inputs_text(*each)}" for name, each in self.inputs.items())
        return f"\n{_IMPORTS}\n\n{self.job}\n\n{self.meaning}\n\nINPUTS = {{\n{given},\n}}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As hypothesis shows what fails."""
        printer.text(repr(self))

    @cached_property
    def functions(self) -> dict[str, Any]:
        """What the two sources define."""
        names = dict(_NAMES)
        exec(f"{self.job}\n{self.meaning}", names)
        return names

    @cached_property
    def fed(self) -> dict[str, list[Any]]:
        """The inputs' batches."""
        return {name: [_batch(shape, each) for each in epochs] for name, (shape, epochs) in self.inputs.items()}

    def answers(self) -> dict[str, dict[int, Any]]:
        """By output and epoch, what comes out."""
        kept, found = stream_references.Kept(), dict[str, dict[int, Any]]()
        nothing = {name: _batch(shape, []) for name, (shape, _) in self.inputs.items()}
        for epoch in range(max(map(len, self.fed.values()))):
            given = {n: each[epoch] if epoch < len(each) else nothing[n] for n, each in self.fed.items()}
            for name, batch in self.functions["meaning"](kept, given).items():
                found.setdefault(name, {})[epoch] = batch
        return found

    def check(self, found: Mapping[str, Mapping[int, Any]], where: str) -> None:
        """Compares what came out with what it should be."""
        for name, epochs in self.answers().items():
            assert found[name].keys() == epochs.keys(), f"{where}: {name} has other epochs"
            for epoch, wanted in epochs.items():
                self._check(found[name][epoch], wanted, f"{where}: {name}, epoch {epoch}", name in self.ordered)

    @staticmethod
    def _check(found: Any, wanted: Any, where: str, ordered: bool) -> None:
        if isinstance(wanted, pl.DataFrame):
            assert found.schema == wanted.schema, f"{where}: {found.schema}, not {wanted.schema}"
        mine, others = (stream_references.as_rows(batch, ordered=ordered) for batch in (found, wanted))
        assert mine == others, f"{where}: {mine}, not {others}"


def _batch(shape: Shape, values: list[tuple[Any, ...]]) -> Any:
    return pl.DataFrame(values, pl.Schema(shape.schema), orient="row") if shape.frames else values


def _inputs_text(shape: Shape, epochs: list[list[tuple[Any, ...]]]) -> str:
    if not shape.frames:
        return repr(epochs)
    return f"[pl.DataFrame(rows, {schema_text(shape.schema)}, orient='row') for rows in {epochs!r}]"


@dataclass
class _Draft:
    """A job, or the body of a loop, while it is drawn.

    Attributes:
        draw: Hypothesis's.
        prefix: Of the names of its streams.
        loops: How many it is inside.
        shapes: Of its streams.
        nothing: Each stream's meaning when there are no rows, and all that the sources need.
    """

    draw: st.DrawFn
    prefix: str
    loops: int = 0
    shapes: dict[str, Shape] = field(default_factory=dict)
    job: list[str] = field(default_factory=list)
    meaning: list[str] = field(default_factory=list)
    nothing: dict[str, Any] = field(default_factory=lambda: {**_NAMES, "kept": stream_references.Kept()})
    used: set[str] = field(default_factory=set)
    ordered: set[str] = field(default_factory=set)
    joins: int = 0

    def add(self, name: str, shape: Shape, job: str, meaning: str) -> None:
        """A stream, and the lines that make it."""
        self.shapes[name] = shape
        self.job.append(job)
        self.meaning.append(meaning)

    def given(self, name: str, shape: Shape) -> None:
        """A stream that is there."""
        self.shapes[name] = shape
        self.nothing[name] = _batch(shape, [])

    def step(self, number: int) -> None:
        """Draws one operator, or none if it does not fit."""
        name = f"{self.prefix}{number}"
        first = self._stream()
        table = FRAMES if self.shapes[first].frames else RECORDS
        often = [each for each in table if "agg" in each or "join" in each or each in ("scan", "running")]
        chosen = self.draw(st.sampled_from([*table, *often, "iterate"]))
        try:
            if chosen == "iterate":
                self._iterate(name, first)
            else:
                self._apply(name, table[chosen], first)
        except (Unfit, pl.exceptions.PolarsError):
            for known in (self.shapes, self.nothing):
                known.pop(name, None)

    def _stream(self, frames: bool | None = None) -> str:
        """One of frames, of records, or any; mostly the newest one."""
        names = [name for name, shape in self.shapes.items() if frames in (None, shape.frames)]
        return str(self.draw(st.sampled_from([names[-1], *reversed(names)])))

    def _apply(self, name: str, operator: Operator, first: str) -> None:
        if (operator.keeps and self.loops) or (operator.grows and (self.loops or self.joins > 1)):
            raise Unfit
        streams = [first, *(self._stream(self.shapes[first].frames) for _ in range(1, operator.takes))]
        hand = Hand(self.draw, [self.shapes[each] for each in streams], name)
        texts = {**operator.arguments(hand), "name": name}
        job, meaning = operator.stream.format(*streams, **texts), operator.meaning.format(*streams, **texts)
        self.nothing[name] = nothing = eval(meaning, self.nothing)
        if isinstance(nothing, pl.DataFrame):
            shape = Shape(frames=True, schema=dict(nothing.schema))
        else:
            shape = Shape(frames=False, schema=hand.schema if hand.gives is None else hand.gives)
        if not shape.schema or pl.Null() in shape.schema.values():
            raise Unfit  # Nothing to compare; a type that no input has.
        self.add(name, shape, f"{name} = {job}", f"{name} = {meaning}")
        self.used.update(streams)
        self.joins += operator.grows
        if operator.ordered and not self.loops:
            self.ordered.add(name)

    def _iterate(self, name: str, first: str) -> None:
        """Draws a loop: a program that is run for a number of trips, which a column counts down."""
        if self.loops > 1:
            raise Unfit
        counter, entered = f"{name}_trips", f"{name}_0"
        inside = Shape(self.shapes[first].frames, {**self.shapes[first].schema, counter: pl.Int64()})
        body = _Draft(self.draw, f"{name}_", self.loops + 1)
        body.given(entered, inside)
        trips = self.draw(st.integers(0, 2))
        for number in range(1, 1 + self.draw(st.integers(0, 3))):
            body.step(number)
        again = self.draw(st.sampled_from([stream for stream, shape in body.shapes.items() if shape.is_like(inside)]))
        out = [*body.shapes][-1]
        count = _count_frames if inside.frames else _count_records
        (starts, round_again), (start, round_meant) = count(first, again, counter, trips, [*inside.schema])
        head = f"body_{name}({entered})"
        job = _function(head, [*body.job, f"return {round_again}, {out}"])
        meaning = _function(head, [*body.meaning, f"return {round_meant}, {out}"])
        value = f"iterated({start}, body_{name})"
        exec(meaning, self.nothing)
        self.nothing[name] = eval(value, self.nothing)
        iterate = f"{name} = {starts}.iterate(body_{name})"
        self.add(name, body.shapes[out], f"{job}\n{iterate}", f"{meaning}\n{name} = {value}")
        self.used.add(first)


Texts = tuple[str, str]


def _count_frames(first: str, again: str, counter: str, trips: int, _: list[str]) -> tuple[Texts, Texts]:
    """How rows begin their first trip, and their next, in a job; and what both mean."""
    begin = f"{first}.with_columns({counter}=pl.lit({trips}, pl.Int64))"
    fewer = f"{again}.filter(pl.col({counter!r}) > 0).with_columns(pl.col({counter!r}) - 1)"
    return (begin, fewer), (begin, fewer)


def _count_records(first: str, again: str, counter: str, trips: int, columns: list[str]) -> tuple[Texts, Texts]:
    """Likewise."""
    place = columns.index(counter)
    fewer = f"(*r[:{place}], r[{place}] - 1)"
    begin = f"{first}.map(lambda r: (*r, {trips}))"
    return (begin, f"{again}.filter(lambda r: r[{place}] > 0).map(lambda r: {fewer})"), (
        f"[(*r, {trips}) for r in {first}]",
        f"[{fewer} for r in {again} if r[{place}] > 0]",
    )


def _function(head: str, lines: list[str]) -> str:
    return f"def {head}:\n" + indent("\n".join(lines), "    ")


@st.composite
def programs(draw: st.DrawFn, steps: int = 7) -> Program:
    """A program of so many operators or fewer, and rows for it."""
    drawn = st.sampled_from(INTEGERS) | st.sampled_from(COMMON) | st.sampled_from(DTYPES)
    columns = {name: draw(drawn) for name in "abcd"[: draw(st.integers(1, 4))]}
    draft, inputs, count = _Draft(draw, "s"), {}, draw(st.integers(1, 3))
    for name in [f"s{number}" for number in range(count)]:
        names = draw(st.lists(st.sampled_from([*columns]), min_size=1, unique=True))
        shape = Shape(frames=draw(st.booleans()), schema={n: columns[n] for n in names})
        inputs[name] = (shape, draw(rows_of_epochs(shape.schema)))
        draft.given(name, shape)
    for number in range(count, count + draw(st.integers(1, steps))):
        draft.step(number)
    outputs = [name for name in draft.shapes if name not in {*draft.used, *inputs}] or ["s0"]
    used = {name: each for name, each in inputs.items() if name in {*draft.used, *outputs}}
    answers = ", ".join(f"{name!r}: {name}" for name in outputs)
    job = _function("job(flow)", [*_inputs(used), *draft.job, *(f"{name}.output({name!r})" for name in outputs)])
    given = [f"{name} = epoch[{name!r}]" for name in used]
    meaning = _function("meaning(kept, epoch)", [*given, *draft.meaning, f"return {{{answers}}}"])
    return Program(job, meaning, used, frozenset(draft.ordered & {*outputs}))


def _inputs(inputs: Mapping[str, tuple[Shape, Any]]) -> list[str]:
    schemas = {name: f", {schema_text(shape.schema)}" if shape.frames else "" for name, (shape, _) in inputs.items()}
    return [f"{name} = flow.input({name!r}{schema})" for name, schema in schemas.items()]
