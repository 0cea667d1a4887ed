"""Jobs that are deleted by somebody who is stopped in the middle, and goes on when the name is another job's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from limnad.store import (
    ABSENT,
    Checkpoints,
    ChunkRef,
    Conflict,
    Guard,
    Space,
    begin_erasing,
    erase,
    retain,
)

SAME = b"what both jobs have"


def fill(space: Space, who: bytes) -> None:
    """A job works: it has a checkpoint with two chunks, a record, and a log."""
    checkpoints = Checkpoints(space, 1)
    checkpoints.take_over()
    number = checkpoints.begin()
    refs = space.chunks.put_many([SAME, who], mark=number)
    checkpoints.commit(number, refs, who)
    space.ledger.put("generation/1", who, ABSENT)
    space.log("rows").append("ann", 1, who, generation=1)


def assert_whole(space: Space, who: bytes) -> None:
    """Nothing of what `fill` has made is missing."""
    refs = {ChunkRef.of(SAME), ChunkRef.of(who)}
    assert space.chunks.has(refs) == refs
    assert Checkpoints(space).manifest(1).body == who
    held = space.ledger.get("generation/1")
    assert held is not None
    assert held.value == who
    assert list(space.log("rows").read(0)) == [(0, who)]


class Stopped:
    """A space whose user is stopped before one of its calls.

    Args:
        space: The space.
        at: Before which call.
        meanwhile: What others do then.

    Attributes:
        calls: How many there were.
    """

    def __init__(self, space: Space, at: int, meanwhile: Callable[[], None]) -> None:
        self._space, self._at, self._meanwhile = space, at, meanwhile
        self.calls = 0
        self.where = space.where
        self.ledger, self.chunks = self._slow(space.ledger), self._slow(space.chunks)

    def log(self, name: str) -> Any:
        """See `Space`."""
        return self._slow(self._space.log(name))

    def logs(self) -> list[str]:
        """See `Space`."""
        return self._space.logs()

    def _slow(self, part: object) -> Any:
        class Slow:
            def __getattr__(_, name: str) -> Any:  # noqa: N805 - `self` is the space's
                self.calls += 1
                if self.calls == self._at:
                    self._meanwhile()
                return getattr(part, name)

        return Slow()


def test_all_of_a_job_is_erased(space: Space) -> None:
    fill(space, b"the job")
    assert erase(space, begin_erasing(space)) == 2
    assert (space.ledger.keys(), space.chunks.refs(), space.logs()) == ([], set(), [])
    assert erase(space, begin_erasing(space)) == 0


@pytest.mark.parametrize("at", range(1, 13))
def test_who_is_stopped_while_erasing_takes_nothing_of_the_next_job_of_that_name(space: Space, at: int) -> None:
    def meanwhile() -> None:
        erase(space, begin_erasing(space))
        fill(space, b"the next job")

    fill(space, b"the job")
    slow = Stopped(space, at, meanwhile)
    guard = begin_erasing(space)
    try:
        erase(cast(Space, slow), guard)
    except Conflict:
        assert slow.calls >= at
    else:
        assert slow.calls < at, "it was not stopped, or it did not notice"
        return
    assert_whole(space, b"the next job")


@pytest.mark.parametrize("at", range(1, 12))
def test_a_sweep_that_is_stopped_takes_nothing_of_the_next_job_of_that_name(space: Space, at: int) -> None:
    """The next job's numbers, and so the marks of its chunks, begin anew."""

    def meanwhile() -> None:
        erase(space, begin_erasing(space))
        fill(space, b"the next job")

    fill(space, b"the job")
    slow = Stopped(space, at, meanwhile)
    held = space.ledger.get("generation/1")
    assert held is not None
    checkpoints = Checkpoints(cast(Space, slow), 1)
    for number in (2, 3):
        Checkpoints(space, 1).begin()
        Checkpoints(space, 1).commit(number, [], b"")
    with suppress(Conflict):
        retain(checkpoints, keep=1, guard=Guard("generation/1", held.version))
    if slow.calls >= at:
        assert_whole(space, b"the next job")


def test_what_is_guarded_by_a_record_that_has_changed_stays(space: Space) -> None:
    fill(space, b"the job")
    version = space.ledger.put("guard", b"mine", ABSENT)
    guard = Guard("guard", version)
    held = space.ledger.get("generation/1")
    assert held is not None
    for changed in (lambda: space.ledger.put("guard", b"yours", version), lambda: erase_one(space, "guard")):
        changed()
        with pytest.raises(Conflict, match="'guard'"):
            space.ledger.delete("generation/1", held.version, guard=guard)
        with pytest.raises(Conflict, match="'guard'"):
            space.chunks.delete(space.chunks.refs(), guard=guard)
        with pytest.raises(Conflict, match="'guard'"):
            space.log("rows").delete(guard=guard)
    assert_whole(space, b"the job")


def erase_one(space: Space, key: str) -> None:
    """Deletes a record, whatever its version."""
    held = space.ledger.get(key)
    assert held is not None
    space.ledger.delete(key, held.version)
