"""What is pushed from files."""

from __future__ import annotations

import polars as pl
import pytest

from limnad.cli.feeding import in_parts

NBYTES = 1000


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 1000])
def test_a_frame_in_parts_is_the_same_rows_in_parts_of_bounded_size(rows: int) -> None:
    frame = pl.DataFrame({"number": range(rows), "text": ["x" * (number % 50) for number in range(rows)]})
    parts = list(in_parts(frame, NBYTES))
    assert pl.concat(parts).equals(frame)
    assert all(part.estimated_size() <= NBYTES for part in parts)


def test_a_row_is_never_split() -> None:
    frame = pl.DataFrame({"text": ["x" * 3 * NBYTES, "y"]})
    assert [part["text"].to_list() for part in in_parts(frame, NBYTES)] == [["x" * 3 * NBYTES], ["y"]]
