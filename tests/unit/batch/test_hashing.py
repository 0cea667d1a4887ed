# ruff: noqa: DTZ001 - a local datetime is a value like any other

import datetime as dt
import decimal
import enum
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from limnad.batch import hash_frame, hash_records, hash_series, hash_value, key_group
from limnad.batch._views import string_chunks


class Shape(enum.Enum):
    ROUND = 1


# Pinned for ever: state in checkpoints is stored by these. A change here is a change of the checkpoint format.
GOLDEN = [
    (None, "48218226ff3cd4bf"),
    (0, "cd73fe3de975ac26"),
    (1, "0921b5c2e35c60d0"),
    (-1, "189aca478414b1fe"),
    (2**63 - 1, "cc621e36948a7a5f"),
    (2**64 - 1, "189aca478414b1fe"),
    (-(2**63), "2872a2e060146cde"),
    (2**64, "61a426032e40c97a"),
    (10**30 + 1, "4f914804feb54663"),
    (0.5, "f38a145a70e2eb2a"),
    (-1.25e300, "8b8f3891f5008a14"),
    (float("inf"), "9be456c927627aa7"),
    (float("nan"), "ef54390a83d795b0"),
    (decimal.Decimal("0.1"), "ae7036e33022ace9"),
    (decimal.Decimal("-12345.6789"), "f4b61443bb7a4438"),
    ("", "da2f442cf509b129"),
    ("a", "86450eac01d6024f"),
    ("user1234", "88c655dd507e651f"),
    ("exactly twelv"[:12], "f3f3269cc4f79e8e"),
    ("thirteen char", "0b5ad0810cc37c4e"),
    ("a string of several words", "23fdffb4f2ec2847"),
    ("Grüße, 世界", "b90b47244b257998"),
    (b"", "d6c19ef70dde71d6"),
    (b"\x00\xff", "7dfaf5d39fac12d2"),
    (bytes(range(100)), "dd519525f8913564"),
    (dt.date(2024, 2, 29), "38bfadf358bd185c"),
    (dt.datetime(2024, 2, 29, 1, 2, 3, 456789), "68dbcf91ca776073"),
    (dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC), "d0415de74228100c"),
    (dt.timedelta(days=-1, microseconds=1), "2208bad9e38885fc"),
    (dt.time(23, 59, 59, 999999), "0f1faae9dac858fa"),
    ((), "ded49a5018c7f8e9"),
    (("a", 1), "330992e509ba2ce4"),
    ((1, "a"), "1ef6a0afce242e38"),
    (("a", None, 2.5), "176a7245c1596b6f"),
    ([[1, 2], [], [3]], "175ceca98b68a8fb"),
    ({"a": 1, "b": None}, "d9b4e712f0d32423"),
    (frozenset({1, 2, 3}), "61fbfedbc22480ec"),
]


@pytest.mark.parametrize(("value", "expected"), GOLDEN)
def test_the_hash_of_a_value_never_changes(value: Any, expected: Any) -> None:
    assert f"{hash_value(value):016x}" == expected


SCRIPT = """
from limnad.batch import hash_frame, hash_records
import polars as pl
print(hash_records(["a", "b" * 30, ("a", 1), frozenset("abc"), {"x": 1, "y": 2}, 1.5, None]).tolist())
frame = pl.DataFrame({"a": ["x", "y" * 50], "b": ["p", ""]}).cast({"b": pl.Categorical})
print(hash_frame(frame, ["a", "b"]).tolist())
"""


def test_processes_agree_whatever_their_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "POLARS_MAX_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, threads in [("0", "1"), ("1", "2"), ("4242", "1")]
    }
    assert len(outputs) == 1


def all_equal(hashes: Any) -> Any:
    return len(set(np.asarray(hashes).tolist())) == 1


def test_equal_numbers_of_any_type_agree() -> None:
    class Level(enum.IntEnum):
        FIVE = 5

    records = [5, 5.0, decimal.Decimal("5.00"), np.int8(5), np.float32(5), np.uint64(5), Level.FIVE, (5,), [5]]
    assert all_equal(hash_records(records))
    dtypes: list[Any] = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]
    dtypes += [pl.Float32, pl.Float64, pl.Decimal(10, 2)]
    assert all_equal([hash_value(5), *(hash_series(pl.Series([5], dtype=dtype))[0] for dtype in dtypes)])
    assert all_equal([hash_value(1), hash_value(True), hash_series(pl.Series([True]))[0]])
    assert all_equal([hash_value(2**63), hash_value(2.0**63), hash_series(pl.Series([2**63], dtype=pl.UInt64))[0]])
    assert all_equal([hash_value(10**30), hash_value(decimal.Decimal("1e30"))])
    assert all_equal([hash_value(-3), hash_value(-3.0), hash_series(pl.Series([-3], dtype=pl.Int8))[0]])


def test_zero_has_no_sign_and_nan_no_payload() -> None:
    nans = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], np.uint64).view(np.float64)
    assert all_equal(hash_series(pl.Series(nans)))
    assert all_equal(hash_records([float("nan"), -float("nan"), decimal.Decimal("nan")]))
    assert all_equal(hash_records([0.0, -0.0, 0, False, decimal.Decimal("-0.0")]))


def test_values_that_are_not_equal_differ() -> None:
    values: list[Any] = [
        None,
        0,
        "",
        b"",
        (),
        "0",
        b"0",
        dt.date(1970, 1, 1),
        dt.datetime(1970, 1, 1),
        dt.time(),
        dt.timedelta(),
        {},
    ]
    values += [
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        (None,) * 2,
        (0, 0),
        ((0, 0), 0),
        (0, (0, 0)),
        "\0",
        "\0\0",
        frozenset(),
    ]
    values += ["abcd", "abcd\0", "a" * 12, "a" * 13, 0.5, 1.5, decimal.Decimal("0.1"), 0.1]
    assert len(set(hash_records(values).tolist())) == len(values)


def test_the_unit_of_a_time_does_not_show() -> None:
    moment = dt.datetime(2024, 2, 29, 12, 30, 15)
    assert all_equal(
        [hash_value(moment), *(hash_series(pl.Series([moment], dtype=pl.Datetime(u)))[0] for u in ("ms", "us", "ns"))]
    )
    span = dt.timedelta(days=-3, seconds=7)
    assert all_equal(
        [hash_value(span), *(hash_series(pl.Series([span], dtype=pl.Duration(u)))[0] for u in ("ms", "us", "ns"))]
    )
    nanoseconds = hash_series(pl.Series([1000, 1001, 1002, 2000]).cast(pl.Datetime("ns")))
    assert len(set(nanoseconds.tolist())) == 4


def test_one_instant_in_two_zones_is_one_key() -> None:
    instant = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    column = pl.Series([instant]).dt.convert_time_zone("Asia/Tokyo")
    east = instant.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert all_equal([hash_value(instant), hash_value(east), hash_series(column)[0]])
    assert hash_value(instant) != hash_value(instant.replace(tzinfo=None))


def test_order_counts_in_sequences_and_not_in_mappings() -> None:
    assert hash_value((1, 2)) != hash_value((2, 1))
    assert hash_value(("a", "b", "b", "a")) != hash_value(("b", "a", "a", "b"))
    assert hash_value({"a": 1, "b": 2}) == hash_value({"b": 2, "a": 1}) != hash_value({"a": 2, "b": 1})


def test_a_named_tuple_is_a_tuple() -> None:
    class Point(NamedTuple):
        x: int
        y: str

    assert hash_value(Point(1, "a")) == hash_value((1, "a"))


def test_a_single_key_column_is_the_scalar_and_the_tuple_of_one() -> None:
    frame = pl.DataFrame({"k": ["a", None]})
    hashes = hash_records(["a", None]).tolist()
    assert hash_frame(frame, "k").tolist() == hash_frame(frame, ["k"]).tolist() == hashes
    assert hash_records([("a",), (None,)]).tolist() == hashes


def test_hashing_columns_leaves_the_frame_alone() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [3, 4], "c": ["x", "y"]})
    hash_frame(frame, ["a", "b", "c"])
    hash_frame(frame, "a")
    assert frame.rows() == [(1, 3, "x"), (2, 4, "y")]


@pytest.mark.parametrize("value", [object(), 1j, np.datetime64("2024-01-01", "ns"), Shape.ROUND, range(3)])
def test_a_type_without_a_stable_hash_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=r"stable"):
        hash_value(value)


def test_a_time_with_a_zone_is_refused() -> None:
    with pytest.raises(TypeError, match="time zone"):
        hash_value(dt.time(1, tzinfo=dt.UTC))


def test_no_key_column_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        hash_frame(pl.DataFrame({"a": [1]}), [])


@pytest.mark.parametrize(
    "dtype", [pl.Int64, pl.String, pl.Categorical, pl.List(pl.Int8), pl.Struct({"a": pl.Int8}), pl.Decimal(5, 1)]
)
def test_empty_columns_and_columns_of_nulls(dtype: Any) -> None:
    assert hash_series(pl.Series([], dtype=dtype)).tolist() == []
    assert hash_series(pl.Series([None, None], dtype=dtype)).tolist() == [hash_value(None)] * 2


def test_strings_in_many_buffers() -> None:
    strings = [f"a string longer than a view, number {i}" for i in range(3_000)]
    order = np.random.default_rng(5).permutation(len(strings))
    column = pl.Series(strings).gather(order)
    assert len(next(string_chunks(column)).buffers) > 1
    assert hash_series(column).tolist() == [hash_value(strings[i]) for i in order]


def test_one_very_long_string_among_short_ones() -> None:
    column = pl.Series(["a" * 3_000_000, "b" * 13, "b" * 14, "c"])
    assert hash_series(column).tolist() == [hash_value(value) for value in column.to_list()]
    other = pl.Series(["a" * 1_500_000 + "b" + "a" * 1_499_999])
    assert hash_series(other)[0] != hash_series(column)[0]


def test_sparse_categories() -> None:
    everything = pl.Series([f"category {i}" for i in range(1000)], dtype=pl.Categorical)
    few = everything.gather([999, 3])
    assert hash_series(few).tolist() == hash_records(["category 999", "category 3"]).tolist()


# ------------------------------------------------------------------------------------------------------ quality

COUNT = 1 << 16
KEYS: dict[str, Any] = {
    "sequential": np.arange(COUNT),
    "negative": -np.arange(COUNT),
    "random": np.random.default_rng(1).integers(0, 2**62, COUNT),
    "halves": np.arange(COUNT) * 0.5,
    **{f"multiples of 2**{shift}": np.arange(COUNT) << shift for shift in (4, 8, 16, 32, 47)},
    "microseconds": np.arange(COUNT) * 86_400_000_000,
    "short strings": [f"k{i}" for i in range(COUNT)],
    "strings of 12": [f"{i:012}" for i in range(COUNT)],
    "strings of 13": [f"{i:013}" for i in range(COUNT)],
    "long strings": [f"https://example.org/{i % 256:03}/some/longer/path/{i // 256:03}.html" for i in range(COUNT)],
    "high bytes": [bytes([i & 255, 0, 0, i >> 8, 0, 0, 0, 0, 0, 0, 0, i & 255]) for i in range(COUNT)],
    "pairs": [(i & 255, i >> 8) for i in range(COUNT)],
    "pairs of powers": [(1 << (i & 63), i >> 6) for i in range(COUNT)],
}


def chi_square(groups: Any, count: Any) -> Any:
    observed = np.bincount(groups, minlength=count)
    expected = len(groups) / count
    return float(((observed - expected) ** 2).sum() / expected)


def limit(count: Any) -> Any:
    """Six standard deviations above the mean of a chi-square of so many groups."""
    return count - 1 + 6 * np.sqrt(2 * (count - 1))


@pytest.mark.parametrize("name", KEYS)
def test_keys_fall_evenly_into_key_groups(name: Any) -> None:
    keys = KEYS[name]
    hashes = hash_series(pl.Series(keys)) if isinstance(keys, np.ndarray) else hash_records(keys)
    assert len(np.unique(hashes)) == COUNT
    for key_groups in (2, 3, 256, 1000):
        assert chi_square(key_group(hashes, key_groups), key_groups) < limit(key_groups)
    for byte in range(8):
        assert chi_square((hashes >> np.uint64(8 * byte)).astype(np.uint8), 256) < limit(256)


def flips(before: Any, after: Any) -> Any:
    changed = (before ^ after).astype("<u8").view(np.uint8).reshape(-1, 8)
    return np.unpackbits(changed, axis=1, bitorder="little").mean(axis=0)


@pytest.mark.parametrize("bit", range(64))
def test_each_bit_of_an_integer_moves_every_bit_of_its_hash(bit: Any) -> None:
    keys = np.random.default_rng(2).integers(0, 2**63, 4000).astype(np.uint64)
    shares = flips(hash_series(pl.Series(keys)), hash_series(pl.Series(keys ^ np.uint64(1 << bit))))
    assert shares.min() > 0.44
    assert shares.max() < 0.56


@pytest.mark.parametrize("size", [4, 5, 12, 13, 20, 21, 40])
def test_each_bit_of_a_string_moves_every_bit_of_its_hash(size: Any) -> None:
    data = np.random.default_rng(3).integers(0, 256, (4000, size), np.uint8)
    before = hash_records([row.tobytes() for row in data])
    for byte in range(size):
        changed = data.copy()
        changed[:, byte] ^= np.uint8(1 << (byte % 8))
        shares = flips(before, hash_records([row.tobytes() for row in changed]))
        assert shares.min() > 0.44
        assert shares.max() < 0.56


@pytest.mark.parametrize("size", [8, 12, 16, 24, 40])
def test_two_flipped_bits_do_not_cancel(size: Any) -> None:
    """The words of a string are summed: structured differences in two of them must not make up for each other."""
    base = int.from_bytes(b"The quick brown fox jumps over the lazy dog"[:size], "little")
    bits = range(0, 8 * size, 2)
    keys = [(base ^ (1 << i) ^ (1 << j)).to_bytes(size, "little") for i in bits for j in bits if i < j]
    assert len(set(hash_records(keys).tolist())) == len(keys)


def test_swapped_and_repeated_elements_do_not_collide() -> None:
    tuples = [(a, b, c, d) for a in range(8) for b in range(8) for c in range(8) for d in range(8)]
    assert len(set(hash_records(tuples).tolist())) == len(tuples)
