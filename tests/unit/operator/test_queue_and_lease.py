"""Who is looked at when, and who acts: both without a clock."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limnad_operator.lease import DURATION_S, GIVE_UP_S, Lease
from limnad_operator.queue import FIRST_S, LONGEST_S, Queue


def test_an_object_is_looked_at_by_one_at_a_time_and_once_more_if_it_changes_meanwhile() -> None:
    queue = Queue[str]()
    queue.add("a", 0.0)
    assert queue.take(0.0) == "a"
    queue.add("a", 1.0)
    queue.add("a", 1.0)
    assert queue.take(5.0) is None
    queue.done("a", 5.0, again_s=10.0)
    assert (queue.next_s(), queue.take(5.0)) == (1.0, "a")
    queue.done("a", 5.0)
    assert (len(queue), queue.next_s()) == (0, None)


def test_what_is_due_later_is_brought_forward() -> None:
    queue = Queue[str]()
    queue.add("a", 10.0)
    queue.add("a", 20.0)
    queue.add("a", 1.0)
    assert queue.take(0.5) is None
    assert queue.take(1.0) == "a"
    queue.done("a", 1.0)
    assert queue.take(100.0) is None


def test_pauses_double_up_to_a_limit_and_begin_anew() -> None:
    queue = Queue[str]()
    pauses = []
    for _ in range(12):
        queue.add("a", 0.0)
        queue.take(1e9)
        pauses.append(queue.failed("a", 0.0))
    assert pauses[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert pauses[-1] == LONGEST_S
    queue.take(1e9)
    queue.done("a", 0.0, again_s=1.0)
    queue.take(1.0)
    assert queue.failed("a", 0.0) == FIRST_S


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100))))
def test_nothing_that_was_added_is_forgotten(added: list[tuple[str, float]]) -> None:
    queue = Queue[str]()
    for key, at_s in added:
        queue.add(key, at_s)
    taken = []
    while (due_s := queue.next_s()) is not None:
        next_key = queue.take(due_s)
        assert next_key is not None
        assert due_s == min(at_s for each, at_s in added if each == next_key)
        taken.append(next_key)
    assert sorted(taken) == sorted({key for key, _ in added})


class Server:
    """A Lease, and whether a write conflicts."""

    def __init__(self) -> None:
        self.there: dict[str, Any] | None = None
        self.version = 0

    def step(self, lease: Lease, now_s: float, *, stale: dict[str, Any] | None = None) -> bool:
        """A look and a write of one operator; whether it leads then."""
        there = stale if stale is not None else self.there
        wanted = lease.wanted(there, now_s, 1e9 + now_s)
        if wanted is None:
            lease.lost()
        elif wanted["metadata"].get("resourceVersion", "") == ("" if self.there is None else str(self.version)):
            self.version += 1
            self.there = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": str(self.version)}}
            lease.written(now_s)
        return lease.leads(now_s)


def test_one_of_two_leads_and_the_other_follows_when_it_is_silent() -> None:
    server, one, other = Server(), Lease("one", "l", "ns"), Lease("other", "l", "ns")
    assert server.step(one, 0.0)
    assert not server.step(other, 0.0)
    assert server.step(one, 9.0)
    assert not server.step(other, 9.0)
    assert not server.step(other, 9.0 + DURATION_S - 1)
    assert not one.leads(9.0 + GIVE_UP_S), "it stops before the other begins"
    assert server.step(other, 9.0 + DURATION_S)
    assert not server.step(one, 9.0 + DURATION_S)
    assert server.there is not None
    assert server.there["spec"]["leaseTransitions"] == 1


def test_of_two_that_write_at_once_one_gets_a_conflict() -> None:
    server, one, other = Server(), Lease("one", "l", "ns"), Lease("other", "l", "ns")
    server.step(one, 0.0)
    assert server.there is not None
    server.there["spec"]["holderIdentity"] = ""
    before = dict(server.there)
    assert server.step(one, 1.0)
    assert not server.step(other, 1.0, stale=before)


def test_a_lease_goes_with_its_owner_as_soon_as_that_is_known() -> None:
    server, one = Server(), Lease("one", "l", "ns")
    server.step(one, 0.0)
    assert server.there is not None
    assert "ownerReferences" not in server.there["metadata"]
    one.owner = {"kind": "Deployment", "uid": "u"}
    server.step(one, 3.0)
    assert server.there["metadata"]["ownerReferences"] == [one.owner]


def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    server, one, other = Server(), Lease("one", "l", "ns"), Lease("other", "l", "ns")
    server.step(one, 0.0)
    assert server.there is not None
    server.there = one.released(server.there)
    assert server.step(other, 0.1)
