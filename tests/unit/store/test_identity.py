"""A store that forgot is noticed."""

import threading

import pytest

from limnad.store import ABSENT, Identity, LostState, Space, StoreError, Witness
from limnad.store.identity import KEY


def test_the_counter_rises_and_the_identity_stays(space: Space) -> None:
    identity = Identity(space)
    assert identity.read() is None
    first, second = identity.rise(), identity.rise()
    assert (first.high_water, second.high_water) == (1, 2)
    assert first.store_id == second.store_id
    for seen in (first, second):
        assert identity.check(seen) == identity.read() == second
    assert identity.rise(first).high_water == 3


def test_two_ledgers_are_never_taken_for_each_other(space: Space) -> None:
    space.ledger.put("other", b"", ABSENT)
    seen = Identity(space).rise()
    with pytest.raises(LostState, match="another store"):
        Identity(space).check(Witness("0" * 32, 0))
    assert Identity(space).read() == seen


def test_a_store_that_is_behind_is_lost_state(space: Space) -> None:
    identity = Identity(space)
    seen = identity.rise()
    for call in (identity.check, identity.rise):
        with pytest.raises(LostState, match="says 1, but had reached 2"):
            call(Witness(seen.store_id, 2))
    assert identity.read() == seen


def test_an_empty_store_is_lost_state_to_who_has_seen_it(space: Space) -> None:
    identity = Identity(space)
    seen = identity.rise()
    record = space.ledger.get(KEY)
    assert record is not None
    space.ledger.delete(KEY, record.version)
    for call in (identity.check, identity.rise):
        with pytest.raises(LostState, match="empty"):
            call(seen)
    assert identity.read() is None


def test_no_number_is_given_twice(space: Space) -> None:
    given: list[int] = []

    def rise() -> None:
        given.extend(Identity(space).rise().high_water for _ in range(10))

    threads = [threading.Thread(target=rise) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 61))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"store_id": "x", "high_water": "y"}'])
def test_a_record_that_is_none_of_ours_is_refused(space: Space, data: bytes) -> None:
    space.ledger.put(KEY, data, ABSENT)
    with pytest.raises(StoreError, match="none of ours"):
        Identity(space).rise()
