from typing import Any

import numpy as np
import polars as pl
import pytest

from limnad.batch import concat, rows, size_bytes


def test_rows() -> None:
    assert rows(pl.DataFrame({"a": [1, 2, 3]})) == rows([1, 2, 3]) == 3
    assert rows(pl.DataFrame()) == rows([]) == 0


def test_a_frame_is_as_large_as_its_buffers() -> None:
    assert size_bytes(pl.DataFrame({"a": np.arange(1000)})) == 8000


@pytest.mark.parametrize(
    ("records", "at_least", "at_most"),
    [
        ([], 0, 0),
        ([b"x" * 1000] * 50, 50_000, 60_000),
        ([("key", i) for i in range(10_000)], 1_000_000, 1_600_000),
        ([{"a": [1.5] * 1000}] * 10, 80_000, 400_000),
        ([[b"x" * 100 for _ in range(1000)]], 100_000, 200_000),
    ],
)
def test_records_are_estimated_within_reason(records: Any, at_least: Any, at_most: Any) -> None:
    assert at_least <= size_bytes(records) <= at_most


def test_records_that_hold_themselves_have_a_size() -> None:
    record: list[Any] = []
    record.append(record)
    assert size_bytes([record]) > 0


def test_an_object_counts_with_its_fields() -> None:
    class Event:
        def __init__(self) -> None:
            self.payload = b"x" * 10_000

    assert size_bytes([Event()]) > 10_000


def test_concat_joins_in_order_without_copying() -> None:
    frames = [pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3]})]
    joined = concat(frames)
    assert joined["a"].to_list() == [1, 2, 3]
    assert joined.n_chunks() == 2
    assert concat([[1], [], [2, 3]]) == [1, 2, 3]
    assert concat(frames[:1]) is frames[0]


def test_concat_of_lists_is_a_new_list() -> None:
    first = [1]
    concat([first]).append(2)
    assert first == [1]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": pl.Int32, "b": pl.String}, "column 'a' is Int64 in one and Int32 in another"),
        ({"a": pl.Int64}, "column 'b' is missing in one"),
        ({"b": pl.String, "a": pl.Int64}, "in another order"),
        ({"a": pl.Int64, "b": pl.String, "c": pl.Int8}, "column 'c' is missing in one"),
    ],
)
def test_frames_of_two_schemas_are_refused_by_column(other: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        concat([pl.DataFrame(schema={"a": pl.Int64, "b": pl.String}), pl.DataFrame(schema=other)])


def test_frames_and_lists_are_never_mixed() -> None:
    with pytest.raises(TypeError, match="DataFrame and list"):
        concat([pl.DataFrame({"a": [1]}), [1]])


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="at least one"):
        concat([])
