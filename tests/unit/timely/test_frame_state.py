"""What a `FrameState` refuses, migrates, and does not store again. What it holds: tests/property/timely."""

from typing import Any

import polars as pl
import pytest

from limnad import FrameState, StateError
from limnad.batch import KEY_GROUPS
from limnad.timely.state import Piece, Share

SCHEMA = {"key": pl.Int64, "n": pl.Int64}


def rows(keys: Any, n: int) -> pl.DataFrame:
    return pl.DataFrame({"key": list(keys)}).with_columns(n=pl.lit(n, pl.Int64))


def pieces(state: FrameState) -> list[Piece]:
    """All, as a checkpoint stores them; they are durable then."""
    capture = state.capture()
    made = list(capture.pieces())
    state.committed(capture)
    return made


def restored(made: list[Piece], worker: int = 0, workers: int = 1, schema: Any = SCHEMA, **options: Any) -> FrameState:
    """A state that takes over what was stored with version 1."""
    state = FrameState("state", schema, "key", **options)
    state.restore(Share(1, made, worker, workers))
    return state


def test_what_is_stored_is_what_has_changed() -> None:
    state = FrameState("state", SCHEMA, "key")
    state.put(rows(range(2_000_000), 0))
    first = pieces(state)
    assert len(first) > 10
    assert sum(len(piece.batch) for piece in first) == 2_000_000
    state.put(rows(range(100), 1))
    second = [piece.batch for piece in pieces(state) if piece.batch is not None]
    assert sum(map(len, second)) == 200  # A hundred keys are hidden, a hundred rows are new.
    assert not [piece for piece in pieces(state) if piece.batch is not None]


def test_a_change_within_one_key_group_makes_one_block_anew() -> None:
    state = FrameState("state", SCHEMA, "key")
    state.put(rows(range(2_000_000), 0))
    block = max(pieces(state), key=lambda piece: len(piece.batch))
    for turn in range(20):
        state.put(block.batch.with_columns(n=pl.lit(turn, pl.Int64)))
    changed = [piece for piece in pieces(state) if piece.batch is not None]
    assert {piece.groups for piece in changed} <= {block.groups, (0, KEY_GROUPS)}
    assert sum(len(piece.batch) for piece in changed) < 2_000_000 // 4


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_checkpoint_that_is_restored_is_found_unchanged(workers: int) -> None:
    """Chunks are named by their content: what a restored state stores anew is there already."""
    state = FrameState("state", SCHEMA, "key")
    state.put(rows(range(300_000), 0))
    before = {piece.groups: piece.batch for piece in pieces(state)}
    shares = [restored(list(map(Piece, before.values(), before)), worker, workers) for worker in range(workers)]
    after = [piece for share in shares for piece in pieces(share)]
    assert sum(len(share.to_frame()) for share in shares) == 300_000
    if workers == 1:
        assert all(piece.batch.equals(before[piece.groups]) for piece in after if piece.groups)


def test_another_version_needs_a_migration() -> None:
    state = FrameState("state", SCHEMA, "key")
    state.put(rows([1, 2, 3], 7))
    state.delete(rows([2], 0))
    with pytest.raises(StateError, match="'state' was stored with version 1, and the job has version 2"):
        restored(pieces(state), version=2)


def test_a_migration_takes_rows_and_gives_rows() -> None:
    state = FrameState("state", SCHEMA, "key")
    state.put(rows(range(10_000), 7))
    state.delete(rows([2], 0))
    newer = restored(
        pieces(state),
        version=2,
        schema={"key": pl.Int64, "text": pl.String},
        migrate=lambda version, old: old.select("key", text=pl.col("n").cast(pl.String) + f" of {version}"),
    )
    assert newer.get(rows([1, 2], 0)).rows() == [(1, "7 of 1")]
    assert len(newer.to_frame()) == 9_999


def test_other_columns_under_the_same_version_are_refused() -> None:
    state = FrameState("state", SCHEMA, "key")
    state.put(rows([1], 1))
    with pytest.raises(StateError, match="'state' holds rows of"):
        restored(pieces(state), schema={"key": pl.Int64, "m": pl.Int64})


def test_the_key_is_one_of_the_columns() -> None:
    with pytest.raises(StateError, match="'state' has no column 'k' for its key: there are key, n"):
        FrameState("state", SCHEMA, "k")
    with pytest.raises(StateError, match="at least one column"):
        FrameState("state", SCHEMA, [])


def test_rows_and_keys_have_the_columns_of_the_state() -> None:
    state = FrameState("state", SCHEMA, "key")
    with pytest.raises(StateError, match="holds rows of"):
        state.put(pl.DataFrame({"key": [1]}))
    with pytest.raises(StateError, match=r"key 'key' of type Int64, but was asked for keys with String"):
        state.get(pl.DataFrame({"key": ["a"]}))
    with pytest.raises(StateError, match="no such column"):
        state.delete(pl.DataFrame({"n": [1]}))
