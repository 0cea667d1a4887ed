"""The fast hash against its published definition, written here once more, one value at a time and in plain Python."""

# ruff: noqa: DTZ001 - a local datetime is a value like any other

import datetime as dt
import decimal
import math
import struct
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad.batch import hash_frame, hash_records, hash_series

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
HEAD = 0xD6E8FEB86659FD93
NULL, INTEGER, FLOAT, NUMBER, TEXT, BYTES, DATE, LOCAL, INSTANT, DURATION, TIME, SEQUENCE, MAPPING, SET = range(1, 15)
MICROSECOND = dt.timedelta(microseconds=1)


def mix(word: Any) -> Any:
    word &= MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def scramble(word: Any) -> Any:
    word &= MASK
    word = ((word ^ (word >> 32)) * 0xFF51AFD7ED558CCD) & MASK
    return word ^ (word >> 29)


def seed(kind: Any) -> Any:
    return mix(kind * GOLDEN)


def hash_bytes(kind: Any, data: Any) -> Any:
    head = len(data) | int.from_bytes(data[:4], "little") << 32
    words = [data[i : i + 8] for i in range(4, len(data) - 8, 8)] + [data[-8:]] if len(data) > 12 else [data[4:]]
    total = sum(scramble(int.from_bytes(word, "little") + i * GOLDEN) for i, word in enumerate(words, 1))
    return mix(seed(kind) + head * HEAD + total)


def hash_integer(value: Any) -> Any:
    if -(2**63) <= value < 2**64:
        return mix(seed(INTEGER) + value)
    try:
        if float(value) == value:
            return hash_float(float(value))
    except OverflowError:
        pass
    return hash_bytes(NUMBER, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def hash_float(value: Any) -> Any:
    if math.isnan(value):
        return mix(seed(FLOAT) + 0x7FF8_0000_0000_0000)
    if value.is_integer() and -(2.0**63) <= value < 2.0**64:
        return hash_integer(int(value))
    return mix(seed(FLOAT) + struct.unpack("<Q", struct.pack("<d", value))[0])


def hash_decimal(value: Any) -> Any:
    if not value.is_finite() or value == decimal.Decimal(float(value)):
        return hash_integer(int(value)) if value.is_finite() and value == int(value) else hash_float(float(value))
    if value == int(value):
        return hash_integer(int(value))
    digits = "".join(map(str, value.as_tuple().digits)).lstrip("0")
    exponent = value.as_tuple().exponent + len(digits) - len(digits.rstrip("0"))
    return hash_bytes(NUMBER, f"{'-' if value < 0 else '+'}{digits.rstrip('0')}e{exponent}".encode())


def hash_sequence(values: Any) -> Any:
    if len(values) == 1:
        return reference(values[0])
    terms = (reference(value) * (mix((i + 1) * GOLDEN) | 1) for i, value in enumerate(values))
    return mix(seed(SEQUENCE) + len(values) * GOLDEN + sum(terms))


def hash_datetime(value: Any) -> Any:
    if value.tzinfo is None:
        return mix(seed(LOCAL) + (value - dt.datetime(1970, 1, 1)) // MICROSECOND)
    return mix(seed(INSTANT) + (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // MICROSECOND)


def reference(value: Any) -> Any:  # noqa: C901, PLR0912 - the definition as a table
    match value:
        case None:
            return mix(seed(NULL))
        case bool() | int():
            return hash_integer(int(value))
        case float():
            return hash_float(value)
        case decimal.Decimal():
            return hash_decimal(value)
        case str():
            return hash_bytes(TEXT, value.encode("utf-8", "surrogatepass"))
        case bytes():
            return hash_bytes(BYTES, value)
        case dt.datetime():
            return hash_datetime(value)
        case dt.date():
            return mix(seed(DATE) + value.toordinal() - dt.date(1970, 1, 1).toordinal())
        case dt.timedelta():
            return mix(seed(DURATION) + value // MICROSECOND)
        case dt.time():
            since_midnight = dt.timedelta(
                hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
            )
            return mix(seed(TIME) + since_midnight // MICROSECOND * 1000)
        case tuple() | list():
            return hash_sequence(value)
        case dict():
            terms = (mix(reference(key) * HEAD + reference(item)) for key, item in value.items())
            return mix(seed(MAPPING) + len(value) * GOLDEN + sum(terms))
        case frozenset():
            return mix(seed(SET) + len(value) * GOLDEN + sum(map(reference, value)))
    raise AssertionError(value)


texts = st.text(st.characters(codec="utf-8"), max_size=40)
zones = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))])
instants = st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=zones)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats(width=16),
    st.decimals(allow_nan=False),
    texts,
    st.text(max_size=5),  # lone surrogates too
    st.binary(max_size=40),
    st.dates(),
    st.datetimes(),
    instants,
    st.timedeltas(),
    st.times(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
        st.frozensets(scalars, max_size=3),
    ),
    max_leaves=6,
)


@given(st.lists(values, max_size=8))
def test_records_hash_by_the_definition(records: Any) -> None:
    assert hash_records(records).tolist() == list(map(reference, records))


@given(st.lists(scalars, min_size=2, max_size=8))
def test_values_that_are_one_dict_key_hash_alike(keys: Any) -> None:
    hashes = dict(zip(keys, hash_records(keys).tolist(), strict=True))
    for key, hashed in zip(keys, hash_records(keys).tolist(), strict=True):
        assert key != key or hashes[key] == hashed  # noqa: PLR0124 - NaN


COLUMNS = [
    (pl.Int8, st.integers(-128, 127)),
    (pl.UInt64, st.integers(0, 2**64 - 1)),
    (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    (pl.Int128, st.integers(-(2**100), 2**100)),
    (pl.Boolean, st.booleans()),
    (pl.Float32, st.floats(width=32)),
    (pl.Float64, st.floats()),
    (pl.Decimal(20, 3), st.decimals(-(10**9), 10**9, places=3)),
    (pl.String, texts),
    (pl.Categorical, texts),
    (pl.Enum(["a", "b", "a category that is long"]), st.sampled_from(["a", "a category that is long"])),
    (pl.Binary, st.binary(max_size=40)),
    (pl.Date, st.dates()),
    (pl.Time, st.times()),
    (pl.Datetime("us"), st.datetimes()),
    (pl.Datetime("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    (pl.Duration("us"), st.timedeltas(dt.timedelta(-(10**6)), dt.timedelta(10**6))),
    (pl.List(pl.String), st.lists(st.one_of(st.none(), texts), max_size=4)),
    (pl.List(pl.List(pl.Int16)), st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3)),
    (pl.Array(pl.Int16, 2), st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    (pl.Struct({"x": pl.Int8, "y": pl.String}), st.fixed_dictionaries({"x": st.integers(0, 9), "y": texts})),
    (pl.Null, st.nothing()),
]


def columns(min_size: Any = 0, max_size: Any = 9) -> Any:
    def of(pair: Any) -> Any:
        dtype, items = pair
        rows = st.lists(st.one_of(st.none(), items), min_size=min_size, max_size=max_size)
        return rows.map(lambda row: pl.Series("x", row, dtype=dtype))

    return st.sampled_from(COLUMNS).flatmap(of)


@given(columns())
def test_a_column_hashes_by_the_definition_of_its_values(column: Any) -> None:
    assert hash_series(column).tolist() == list(map(reference, column.to_list()))


@given(columns(min_size=3, max_size=3), columns(min_size=3, max_size=3), columns(min_size=3, max_size=3))
def test_key_columns_hash_as_the_tuples_of_their_values(a: Any, b: Any, c: Any) -> None:
    frame = pl.DataFrame({"a": a, "b": b, "c": c})
    assert hash_frame(frame, ["a", "b"]).tolist() == hash_records(frame.select("a", "b").rows()).tolist()
    assert hash_frame(frame, ["c", "a", "b"]).tolist() == list(map(reference, frame.select("c", "a", "b").rows()))


@given(columns(), columns(), st.data())
def test_neither_chunks_nor_slices_nor_filters_show(column: Any, other: Any, data: Any) -> None:
    if other.dtype == column.dtype:
        column = pl.concat([column, other], rechunk=False)
    hashes = hash_series(column)
    kept = data.draw(st.lists(st.booleans(), min_size=len(column), max_size=len(column)))
    mask = pl.Series(kept, dtype=pl.Boolean)
    assert hash_series(column.filter(mask)).tolist() == hashes[mask.to_numpy()].tolist()
    assert hash_series(column.slice(1, 3)).tolist() == hashes[1:4].tolist()
    assert hash_series(column.rechunk()).tolist() == hashes.tolist()


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 30)), min_size=1, max_size=12), st.booleans(), st.randoms()
)
def test_long_strings_hash_alike_in_any_company(shapes: Any, shuffled: Any, random: Any) -> None:
    """Long strings go side by side, one after the other or by stride, depending on the others."""
    strings = [
        bytes((i * 37 + size + copy) % 256 for i in range(size)) for size, copies in shapes for copy in range(copies)
    ]
    if shuffled:
        random.shuffle(strings)
    assert hash_records(strings).tolist() == [reference(string) for string in strings]
