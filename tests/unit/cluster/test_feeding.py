"""What becomes of pushes to one input, event by event. Random schedules are in tests/simulation/test_feeding.py."""

from __future__ import annotations

import pytest

from limnad.cluster.feeding import (
    GROUP_BYTES,
    GROUP_PUSHES,
    Acknowledge,
    Append,
    Backwards,
    Check,
    Doubt,
    Effect,
    Feeding,
    Hand,
    Push,
    Read,
    Refuse,
    covered,
)


def push(number: int, sequence: int = 1, producer: str = "ann", data: bytes = b"rows") -> Push:
    return Push(number, producer, sequence, data)


@pytest.fixture
def ready() -> Feeding:
    feeding = Feeding()
    assert feeding.begin(1, 0, 0, {}) == []
    return feeding


def append(feeding: Feeding, one: Push, offset: int) -> list[Effect]:
    assert feeding.push(one) == [Check(one)]
    assert feeding.checked(1, one.number, "") == [Append(one, 1)]
    return feeding.appended(one, 1, offset)


def test_a_push_is_checked_appended_handed_and_acknowledged(ready: Feeding) -> None:
    one = push(1)
    assert append(ready, one, 0) == [Hand(0, None, 1), Acknowledge(one, 0)]
    assert ready.last_sequence("ann") == 1


def queued(feeding: Feeding, *pushes: Push) -> None:
    """They wait until one that is under way is done."""
    feeding.push(push(1, 1, "first"))
    for each in pushes:
        assert feeding.push(each) == []
    feeding.checked(1, 1, "")


def numbered(first: int, count: int, size: int = 1) -> list[Push]:
    return [Push(first + at, "ann", 1 + at, bytes(size), rows=True) for at in range(count)]


def test_rows_that_wait_go_together_up_to_what_may_change_the_next_answer(ready: Feeding) -> None:
    rows, ends = numbered(2, 3), Push(5, "ann", 4, b"advance")
    queued(ready, *rows, ends, Push(6, "ann", 5, b"rows", rows=True))
    group = [*rows, ends]
    assert ready.appended(push(1, 1, "first"), 1, 0)[2:] == [Check(each) for each in group]
    for each in group[:-1]:
        assert ready.checked(1, each.number, "") == []
    assert ready.checked(1, ends.number, "") == [Append(each, 1) for each in group]
    for at, each in enumerate(group[:-1], 1):
        assert ready.appended(each, 1, at) == [Hand(at, None, each.number), Acknowledge(each, at)]
    last = ready.appended(ends, 1, 4)
    assert last == [Hand(4, None, 5), Acknowledge(ends, 4), Check(Push(6, "ann", 5, b"rows", rows=True))]


def test_a_group_has_a_size(ready: Feeding) -> None:
    queued(ready, *numbered(2, GROUP_PUSHES + 5))
    assert len(ready.appended(push(1, 1, "first"), 1, 0)) == 2 + GROUP_PUSHES
    other = Feeding()
    other.begin(1, 0, 0, {})
    queued(other, *numbered(2, 5, GROUP_BYTES // 2))
    assert len(other.appended(push(1, 1, "first"), 1, 0)) == 2 + 2


def test_what_lies_behind_a_refused_one_of_a_group_waits_and_is_refused_as_a_gap(ready: Feeding) -> None:
    one, bad, behind = numbered(2, 3)
    other = Push(5, "bob", 1, b"rows", rows=True)
    queued(ready, one, bad, behind, other)
    ready.appended(push(1, 1, "first"), 1, 0)
    assert ready.checked(1, 2, "") == []
    assert ready.checked(1, 3, "no such column") == [Refuse(bad, "no such column")]
    assert ready.checked(1, 4, "") == []
    assert ready.checked(1, 5, "") == [Append(one, 1)]
    *done, gap, check = ready.appended(one, 1, 1)
    assert done == [Hand(1, None, 2), Acknowledge(one, 1)]
    assert isinstance(gap, Refuse)
    assert (gap.push, check) == (behind, Check(other))


def test_of_a_group_that_the_log_takes_in_part_each_is_answered(ready: Feeding) -> None:
    one, two = numbered(2, 2)
    queued(ready, one, two)
    ready.appended(push(1, 1, "first"), 1, 0)
    ready.checked(1, 2, "")
    ready.checked(1, 3, "")
    assert ready.appended(one, 1, 1) == [Hand(1, None, 2), Acknowledge(one, 1)]
    assert ready.last_sequence("ann") is None
    assert ready.not_appended(two, 1, "too long") == [Refuse(two, "too long")]
    assert ready.last_sequence("ann") == 1


def test_a_repetition_is_acknowledged_and_goes_nowhere(ready: Feeding) -> None:
    append(ready, push(1), 0)
    append(ready, push(2, 2), 1)
    assert ready.push(push(3, 2)) == [Acknowledge(push(3, 2), 1)]
    assert ready.push(push(4, 1)) == [Acknowledge(push(4, 1), None)]


def test_other_rows_under_a_number_that_was_used_are_refused(ready: Feeding) -> None:
    append(ready, push(1), 0)
    (refusal,) = ready.push(push(2, data=b"other"))
    assert isinstance(refusal, Refuse)
    assert "two programs" in refusal.reason


def test_what_the_engine_would_not_take_is_refused_and_not_appended(ready: Feeding) -> None:
    one, other = push(1), push(2, producer="bob")
    ready.push(one)
    assert ready.push(other) == []
    assert ready.checked(1, 1, "no such column") == [Refuse(one, "no such column"), Check(other)]
    assert ready.last_sequence("ann") == 0


def test_a_number_that_skips_one_is_refused(ready: Feeding) -> None:
    (refusal,) = ready.push(push(1, 2))
    assert isinstance(refusal, Refuse)
    assert "its newest is 0" in refusal.reason


def test_numbers_are_told_when_nothing_of_the_producer_is_under_way(ready: Feeding) -> None:
    ready.push(push(1))
    assert (ready.last_sequence("ann"), ready.last_sequence("bob")) == (None, 0)
    ready.checked(1, 1, "")
    ready.lose()
    assert ready.last_sequence("ann") is None
    ready.begin(2, 0, 1, {"ann": (1, 0)})
    ready.entries(2, [(0, b"rows")])
    assert ready.taken(2, 0) == [Acknowledge(push(1), 0)]
    assert ready.last_sequence("ann") == 1


def test_nothing_is_known_before_the_log_was_looked_at() -> None:
    assert Feeding().last_sequence("ann") is None


def test_a_new_engine_is_handed_what_its_checkpoint_does_not_cover_before_anything_new() -> None:
    feeding = Feeding()
    assert feeding.push(push(1)) == []
    assert feeding.begin(3, 4, 7, {}) == [Read(4)]
    assert feeding.entries(3, [(4, b"a"), (5, b"b")]) == [Hand(4, b"a"), Hand(5, b"b")]
    assert feeding.taken(3, 4) == []
    assert feeding.taken(3, 5) == [Read(6)]
    assert feeding.entries(2, [(6, b"of an older one")]) == []
    assert feeding.entries(3, [(6, b"c")]) == [Hand(6, b"c")]
    assert feeding.taken(3, 6) == [Check(push(1))]


def test_an_append_of_an_engine_that_is_gone_is_acknowledged_and_read_from_the_log(ready: Feeding) -> None:
    one = push(1)
    ready.push(one)
    ready.checked(1, 1, "")
    ready.lose()
    assert ready.appended(one, 1, 0) == [Acknowledge(one, 0)]
    assert ready.begin(2, 0, 1, {"ann": (1, 0)}) == [Read(0)]


def test_an_input_that_had_ended_takes_repetitions_only() -> None:
    feeding = Feeding()
    assert feeding.begin(2, None, 5, {"ann": (5, 4)}) == []
    assert feeding.push(push(1, 5)) == [Acknowledge(push(1, 5), 4)]
    (refusal,) = feeding.push(push(2, 6))
    assert isinstance(refusal, Refuse)
    assert "closed" in refusal.reason


def test_when_the_job_ends_who_waits_is_told_what_is_known(ready: Feeding) -> None:
    append(ready, push(1, 1, "bob"), 0)
    one, other = push(2), push(3, producer="eve")
    ready.push(one)
    ready.push(other)
    ready.checked(1, 2, "")
    doubt, refusal = ready.finish("the job has ended")
    assert isinstance(doubt, Doubt)
    assert doubt.push == one
    assert refusal == Refuse(other, "the job has ended")
    assert ready.last_sequence("ann") is None
    assert isinstance(ready.push(push(4))[0], Doubt)
    assert ready.push(push(5, 1, "bob")) == [Acknowledge(push(5, 1, "bob"), 0)]
    assert ready.push(push(6, 2, "bob")) == [Refuse(push(6, 2, "bob"), "the job has ended")]


def test_a_log_that_has_lost_entries_is_noticed(ready: Feeding) -> None:
    append(ready, push(1), 0)
    ready.push(push(2, 2))
    ready.checked(1, 2, "")
    with pytest.raises(Backwards):
        ready.appended(push(2, 2), 1, 0)
    with pytest.raises(Backwards, match="ends at entry 3"):
        Feeding().begin(2, 4, 3, {})


def test_an_input_that_some_checkpoint_does_not_know_is_not_trimmed() -> None:
    assert covered([{"x": 3}, {}], {"x": 9}) == {"x": 0}
    assert covered([], {"x": 9}) == {}
