"""A state by key whose checkpoints become durable, are given up or are lost, in any order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from limnad import KeyedState
from limnad.timely import state as of_state
from limnad.timely.state import Piece, Share

ACTIONS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 30)),
    st.tuples(st.just("delete"), st.integers(0, 30)),
    st.sampled_from([("capture", 0), ("commit", 0), ("give up", 0), ("lose", 0)]),
)


@given(actions=st.lists(ACTIONS, max_size=60), noted=st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_a_durable_checkpoint_is_what_the_state_was(actions: list[tuple[str, int]], noted: int) -> None:
    usual, of_state.NOTED_KEYS = of_state.NOTED_KEYS, noted
    try:
        check(actions)
    finally:
        of_state.NOTED_KEYS = usual


def check(actions: list[tuple[str, int]]) -> None:
    state = KeyedState[int, int]("state")
    durable: dict[Any, Any] = {}
    captured: tuple[Any, dict[Any, Any], dict[int, int]] | None = None
    for number, (action, key) in enumerate(actions):
        if action == "put":
            state[key] = number
        elif action == "delete":
            state.pop(key, None)
        elif action == "capture" and captured is None:
            capture = state.capture()
            blocks = {p.groups: durable[p.groups] if p.batch is None else p.batch for p in capture.pieces()}
            captured = capture, blocks, dict(state)
        elif action == "commit" and captured is not None:
            capture, durable, was = captured
            state.committed(capture)
            captured = None
            assert restored(durable) == was
        elif action == "give up":
            captured = None
        elif action == "lose":
            durable, captured = {}, None
            state.forget()


def restored(blocks: dict[Any, Any]) -> dict[int, int]:
    state = KeyedState[int, int]("state")
    state.restore(Share(1, [Piece(batch, groups) for groups, batch in blocks.items()], 0, 1))
    return dict(state)
