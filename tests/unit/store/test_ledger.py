"""Records with compare-and-set, in both stores."""

import multiprocessing
import threading
from collections.abc import Callable

import pytest

from limnad.store import ABSENT, Conflict, Ledger, Space, Store, Version, open_store
from tests.unit.store.conftest import JOB


def value_of(ledger: Ledger, key: str) -> bytes | None:
    record = ledger.get(key)
    return None if record is None else record.value


def test_what_was_put_is_there(space: Space) -> None:
    assert space.ledger.get("a") is None
    version = space.ledger.put("a", b"\0\r\n\xff", ABSENT)
    record = space.ledger.get("a")
    assert record is not None
    assert (record.value, record.version) == (b"\0\r\n\xff", version)


def test_an_empty_value_is_a_record(space: Space) -> None:
    space.ledger.put("a", b"", ABSENT)
    assert value_of(space.ledger, "a") == b""
    with pytest.raises(Conflict):
        space.ledger.put("a", b"", ABSENT)


def test_a_put_replaces_only_the_version_it_expects(space: Space) -> None:
    first = space.ledger.put("a", b"1", ABSENT)
    second = space.ledger.put("a", b"2", first)
    for stale in (ABSENT, first):
        with pytest.raises(Conflict, match="somebody else changed 'a'"):
            space.ledger.put("a", b"3", stale)
    assert value_of(space.ledger, "a") == b"2"
    assert space.ledger.put("a", b"2", second) != second


def test_a_put_that_expects_a_deleted_record_is_a_conflict(space: Space) -> None:
    version = space.ledger.put("a", b"1", ABSENT)
    space.ledger.delete("a", version)
    with pytest.raises(Conflict):
        space.ledger.put("a", b"2", version)
    assert space.ledger.get("a") is None


def test_a_delete_takes_only_its_version_and_may_be_repeated(space: Space) -> None:
    space.ledger.delete("a", ABSENT)
    first = space.ledger.put("a", b"1", ABSENT)
    second = space.ledger.put("a", b"2", first)
    with pytest.raises(Conflict):
        space.ledger.delete("a", first)
    assert value_of(space.ledger, "a") == b"2"
    for _ in range(2):
        space.ledger.delete("a", second)
        assert space.ledger.get("a") is None


def test_keys_are_listed_by_prefix_and_sorted(space: Space) -> None:
    assert space.ledger.keys() == []
    names = ["checkpoint/10", "checkpoint/9", "checkpoints", "Ä ö/..", "..", "A", "a", "%41"]
    for name in names:
        space.ledger.put(name, name.encode(), ABSENT)
    assert space.ledger.keys() == sorted(names)
    assert space.ledger.keys("checkpoint/") == ["checkpoint/10", "checkpoint/9"]
    assert [value_of(space.ledger, name) for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize("key", ["", "x" * 241, "é" * 41, "\ud800"])
def test_a_key_that_not_every_store_can_hold_is_refused_by_all(space: Space, key: str) -> None:
    for call in (space.ledger.get, lambda key: space.ledger.put(key, b"", ABSENT)):
        with pytest.raises(ValueError, match="a key"):
            call(key)


def test_spaces_do_not_see_each_other(opened: Callable[[], Store]) -> None:
    store, other = opened(), opened()
    spaces = {name: store.job(name) for name in (JOB, "a", "A", "*", "store")}
    for name, space in spaces.items():
        space.ledger.put("k", name.encode(), ABSENT)
        space.chunks.put(name.encode(), mark=1)
    store.ledger.put("k", b"the store's own", ABSENT)
    assert {name: value_of(other.job(name).ledger, "k") for name in spaces} == {name: name.encode() for name in spaces}
    assert value_of(other.ledger, "k") == b"the store's own"
    assert {len(space.chunks.refs()) for space in spaces.values()} == {1}
    assert other.jobs() == sorted(spaces)


def test_a_job_is_listed_when_it_has_written(store: Store) -> None:
    silent = store.job("silent")
    assert (silent.ledger.get("a"), silent.ledger.keys(), silent.chunks.refs()) == (None, [], set())
    assert silent.chunks.delete([]) == 0
    assert store.jobs() == []
    store.job("writes chunks").chunks.put(b"x", mark=1)
    assert store.jobs() == ["writes chunks"]


def test_a_store_is_the_same_when_opened_again(opened: Callable[[], Store]) -> None:
    version = opened().job(JOB).ledger.put("a", b"1", ABSENT)
    opened().job(JOB).ledger.put("a", b"2", version)
    assert value_of(opened().job(JOB).ledger, "a") == b"2"


def count_up(ledger: Ledger, times: int) -> None:
    """Adds to a counter; each addition is made exactly once."""
    done = 0
    while done < times:
        record = ledger.get("counter")
        count, version = (int(record.value), record.version) if record else (0, ABSENT)
        try:
            ledger.put("counter", str(count + 1).encode(), Version(version))
        except Conflict:
            continue
        done += 1


def count_up_in_process(url: str, times: int) -> None:
    store = open_store(url)
    count_up(store.job(JOB).ledger, times)
    store.close()


def test_no_count_of_many_threads_is_lost(store: Store) -> None:
    ledger = store.job(JOB).ledger
    threads = [threading.Thread(target=count_up, args=(ledger, 20)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value_of(ledger, "counter") == b"160"


def test_no_count_of_many_processes_is_lost(store: Store, url: str) -> None:
    start = multiprocessing.get_context("spawn").Process
    processes = [start(target=count_up_in_process, args=(url, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert value_of(store.job(JOB).ledger, "counter") == b"60"
