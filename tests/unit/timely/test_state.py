from typing import Any

import pytest

from limnad import KeyedState, StateError
from limnad.batch import KEY_GROUPS
from limnad.timely.state import NOTED_KEYS, Piece, Share
from tests.helpers.census import census


def stored(capture: Any, before: dict[Any, Any] | None = None) -> dict[Any, Any]:
    """What a checkpoint of a capture holds, by block; unchanged blocks are those of the one before."""
    found = {}
    for piece in capture.pieces():
        found[piece.groups] = (before or {})[piece.groups] if piece.batch is None else piece.batch
    return found


def restored(blocks: dict[Any, Any], worker: int = 0, workers: int = 1, **options: Any) -> dict[Any, Any]:
    state = KeyedState[Any, Any]("state", **options)
    state.restore(Share(1, [Piece(batch, groups) for groups, batch in blocks.items()], worker, workers))
    return dict(state)


def test_what_was_captured_is_what_is_restored() -> None:
    state = KeyedState[str, int]("state")
    state.update({"a": 1, "b": 2})
    del state["b"]
    assert restored(stored(state.capture())) == {"a": 1}


def test_blocks_without_a_change_are_not_stored_again() -> None:
    state = KeyedState[int, int]("state")
    state.update((number, 0) for number in range(500_000))
    first = state.capture()
    blocks = stored(first)
    state.committed(first)
    state[7] = 1
    second = list(state.capture().pieces())
    assert len(second) == KEY_GROUPS
    assert sum(piece.batch is not None for piece in second) == 1
    assert restored(stored(KeyedCaptureOnce(second), blocks))[7] == 1


class KeyedCaptureOnce:
    """Pieces that were made already."""

    def __init__(self, made: list[Piece]) -> None:
        self._made = made

    def pieces(self) -> list[Piece]:
        return self._made


def test_what_a_dropped_checkpoint_held_is_in_the_next() -> None:
    state = KeyedState[str, int]("state")
    state["a"] = 1
    first = state.capture()
    blocks = stored(first)
    state.committed(first)
    state["a"] = 2
    stored(state.capture(), blocks)  # and given up
    assert restored(stored(state.capture(), blocks)) == {"a": 2}


def test_a_commit_that_is_heard_after_the_next_capture_covers_only_its_own() -> None:
    state = KeyedState[str, int]("state")
    state["a"] = 1
    first = state.capture()
    blocks = stored(first)
    state["a"] = 2
    stored(state.capture(), blocks)
    state.committed(first)  # The second one is given up.
    assert restored(stored(state.capture(), blocks)) == {"a": 2}


def test_after_a_loss_everything_is_stored_again() -> None:
    state = KeyedState[str, int]("state")
    state["a"] = 1
    first = state.capture()
    stored(first)
    state.committed(first)
    state.forget()
    assert restored(stored(state.capture())) == {"a": 1}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_key_goes_to_one_worker(workers: int) -> None:
    state = KeyedState[tuple[int, str], int]("state", by=lambda key: key[0])
    state.update(((number, letter), number) for number in range(100) for letter in "xy")
    blocks = stored(state.capture())
    shares = [restored(blocks, worker, workers, by=lambda key: key[0]) for worker in range(workers)]
    assert sum(map(len, shares)) == 200
    assert {key: value for share in shares for key, value in share.items()} == dict(state)
    assert all((key[0], "x") in share and (key[0], "y") in share for share in shares for key in share)


def test_another_version_needs_a_migration() -> None:
    state = KeyedState[str, int]("state")
    state["a"] = 1
    blocks = stored(state.capture())
    with pytest.raises(StateError, match="'state' was stored with version 1, and the job has version 2"):
        restored(blocks, version=2)
    moved = restored(blocks, version=2, migrate=lambda version, key, value: (key.upper(), value + version))
    assert moved == {"A": 2}


def churned(state: KeyedState[int, int], first: int, stop: int) -> None:
    """Keys come and go."""
    for key in range(first, stop):
        state[key] = key
        state.pop(key - 10, None)


def test_without_checkpoints_nothing_is_noted_of_keys_that_are_gone() -> None:
    state = KeyedState[int, int]("state")
    churned(state, 0, 50_000)
    assert census(state, "state").total() < 400


def test_while_no_checkpoint_becomes_durable_little_is_noted_of_keys_that_are_gone() -> None:
    state = KeyedState[int, int]("state")
    captured = state.capture()
    stored(captured)
    state.committed(captured)
    for epoch in range(100):  # Half of the time it is not even begun.
        churned(state, epoch * 1_000, epoch * 1_000 + 1_000)
        if epoch % 20 < 10:
            stored(state.capture(), {(0, KEY_GROUPS): []})
    assert census(state, "state").total() < 3 * NOTED_KEYS
    assert restored(stored(state.capture())) == dict(state)


def test_a_commit_of_what_was_captured_before_too_much_changed_says_nothing_of_that() -> None:
    state = KeyedState[int, int]("state")
    state[-100] = 1
    first = state.capture()
    stored(first)
    state[-100] = 2
    churned(state, 0, 20_000)
    state.committed(first)
    assert restored(stored(state.capture())) == dict(state)
