"""Logs: each entry once, in one order, whoever dies; in both stores."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad.store import Conflict, Gap, Last, Log, LogState, LostState, New, Space, Store, open_store
from limnad.store.directory_log import DirectoryLog
from tests.helpers.redis_server import RedisServer
from tests.unit.store.conftest import JOB
from tests.unit.store.test_models import fresh_space

NAME = "in put/é"


@pytest.fixture
def log(space: Space) -> Log:
    return space.log(NAME)


def test_an_empty_log(space: Space, log: Log) -> None:
    assert (log.end(), log.last_sequence("a"), list(log.read(0)), space.logs()) == (0, 0, [], [])
    log.trim(5)
    log.delete()
    assert space.logs() == []


def test_entries_are_read_in_their_order(space: Space, log: Log) -> None:
    datas = [b"", b"x" * 100_000, b"\0\r\n\xff"]
    assert [log.append("a", number, data, generation=1) for number, data in enumerate(datas, 1)] == [0, 1, 2]
    assert list(log.read(0)) == list(enumerate(datas))
    assert list(log.read(2)) == [(2, datas[2])]
    assert list(log.read(3)) == list(log.read(9)) == []
    assert (log.end(), log.last_sequence("a"), space.logs()) == (3, 3, [NAME])


def test_a_repetition_appends_nothing_and_returns_the_first_offset(log: Log) -> None:
    for number in (1, 2, 3):
        log.append("a", number, b"a", generation=1)
        log.append("b", number, b"b", generation=1)
    for number in (1, 2, 3):
        assert log.append("a", number, b"other", generation=1) == 2 * (number - 1)
        assert log.append("b", number, b"other", generation=1) == 2 * (number - 1) + 1
    assert [data for _, data in log.read(0)] == [b"a", b"b"] * 3


def test_a_skipped_number_is_refused(log: Log) -> None:
    with pytest.raises(Gap, match="its newest is 0"):
        log.append("a", 2, b"", generation=1)
    log.append("a", 1, b"", generation=1)
    with pytest.raises(Gap, match="its newest is 1"):
        log.append("a", 3, b"", generation=1)
    assert (log.end(), log.last_sequence("a")) == (1, 1)


def test_an_older_generation_is_refused_from_the_claim_on(opened: Callable[[], Store]) -> None:
    old, new = (opened().job(JOB).log(NAME) for _ in range(2))
    assert old.claim(1) == LogState()
    old.append("a", 1, b"old", generation=1)
    assert new.claim(3) == LogState(1, {"a": Last(1, 0)})
    assert new.claim(3).end == 1
    with pytest.raises(Conflict, match="belongs to generation 3, not to 2"):
        old.claim(2)
    for number in (1, 2):
        with pytest.raises(Conflict, match="belongs to generation 3, not to 1"):
            old.append("a", number, b"late", generation=1)
    assert new.append("a", 2, b"new", generation=3) == 1
    assert old.append("a", 3, b"newer", generation=4) == 2
    with pytest.raises(Conflict):
        new.append("a", 4, b"", generation=3)
    assert [data for _, data in old.read(0)] == [b"old", b"new", b"newer"]


def test_what_is_trimmed_is_lost_state_and_its_numbers_stay_known(opened: Callable[[], Store]) -> None:
    log = opened().job(JOB).log(NAME)
    for number in range(1, 6):
        log.append("a", number, b"x" * 300_000, generation=1)
        log.append("b", number, b"x" * 300_000, generation=1)
    log.trim(10)
    for each in (log, opened().job(JOB).log(NAME)):
        with pytest.raises(LostState, match="begins at entry 10, but entry 9 is wanted"):
            list(each.read(9))
        assert (each.end(), list(each.read(10))) == (10, [])
        assert each.append("a", 5, b"", generation=1) == 8
        assert each.append("a", 2, b"", generation=1) == 9
        assert each.claim(1).producers == {"a": Last(5, 8), "b": Last(5, 9)}
    assert log.append("c", 1, b"next", generation=1) == 10
    assert list(log.read(10)) == [(10, b"next")]


def test_who_is_forgotten_has_never_appended(opened: Callable[[], Store]) -> None:
    log = opened().job(JOB).log(NAME)
    assert log.forget({"nobody": Last(1, 0)}, generation=1) == set()
    for name in ("a", "b", "é {c}"):
        log.append(name, 1, b"", generation=2)
    log.append("b", 2, b"", generation=2)
    with pytest.raises(Conflict, match="generation 2, not to 1"):
        log.forget({"a": Last(1, 0)}, generation=1)
    wanted = {"a": Last(1, 0), "b": Last(1, 1), "é {c}": Last(1, 2), "d": Last(1, 3)}
    assert log.forget(wanted, generation=2) == {"a", "é {c}"}, "b has appended since"
    again = opened().job(JOB).log(NAME)
    assert again.claim(3) == LogState(4, {"b": Last(2, 3)})
    assert again.append("a", 1, b"new", generation=3) == 4
    assert [data for _, data in again.read(0)] == [b"", b"", b"", b"", b"new"]


def test_logs_do_not_see_each_other(space: Space, store: Store) -> None:
    names = [NAME, "b", "..", "A", "a"]
    for number, name in enumerate(names):
        for sequence in range(1, number + 2):
            space.log(name).append("p", sequence, name.encode(), generation=1)
    assert [space.log(name).end() for name in names] == [1, 2, 3, 4, 5]
    assert space.logs() == sorted(names)
    assert store.logs() == store.job("other").logs() == []
    assert store.jobs() == [JOB]
    space.log("b").delete()
    assert space.logs() == sorted({*names} - {"b"})
    assert space.log("b").append("p", 1, b"anew", generation=1) == 0
    assert space.log("a").last_sequence("p") == 5


def test_a_deleted_log_forgets(opened: Callable[[], Store]) -> None:
    one, other = (opened().job(JOB).log(NAME) for _ in range(2))
    one.append("a", 1, b"", generation=7)
    other.delete()
    assert one.claim(1) == LogState()
    assert one.append("a", 1, b"x", generation=1) == 0


@pytest.mark.parametrize(
    ("producer", "sequence"), [("", 1), ("x" * 241, 1), ("é" * 121, 1), ("\ud800", 1), ("a", 0), ("a", -1)]
)
def test_what_no_log_takes_is_refused(log: Log, producer: str, sequence: int) -> None:
    with pytest.raises(ValueError, match=r"^a (producer|sequence)"):
        log.append(producer, sequence, b"", generation=1)


# ---- many at once


def append_in_process(url: str, producer: str, count: int) -> None:
    store = open_store(url)
    log = store.job(JOB).log(NAME)
    for number in range(1, count + 1):
        log.append(producer, number, b"%s %d" % (producer.encode(), number), generation=1)
        log.append(producer, number, b"again", generation=1)
    store.close()


def test_processes_that_append_at_once_get_offsets_of_their_own(url: str, store: Store) -> None:
    start = multiprocessing.get_context("spawn").Process
    processes = [start(target=append_in_process, args=(url, producer, 40)) for producer in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    log = store.job(JOB).log(NAME)
    datas = [data for _, data in log.read(0)]
    assert log.end() == len(datas) == 120
    for producer in "abc":
        own = [data for data in datas if data.startswith(producer.encode())]
        assert own == [b"%s %d" % (producer.encode(), number) for number in range(1, 41)]


WRITER = """
import sys
from limnad.store import open_store
log = open_store(sys.argv[1]).job(sys.argv[2]).log(sys.argv[3])
number = log.last_sequence("w")
while True:
    number += 1
    log.append("w", number, b"%d " % number * 20_000, generation=1)
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_was_acknowledged(url: str, opened: Callable[[], Store]) -> None:
    acknowledged = 0
    for wanted in (1, 3, 10, 11):
        command = [sys.executable, "-c", WRITER, url, JOB, NAME]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(wanted):
                acknowledged = int(writer.stdout.readline())
            writer.kill()
            for line in writer.stdout:
                acknowledged = int(line)
        log = opened().job(JOB).log(NAME)
        there = list(log.read(0))
        assert len(there) == log.end() == log.last_sequence("w")
        assert acknowledged <= log.end() <= acknowledged + 1
        assert there == [(at, b"%d " % (at + 1) * 20_000) for at in range(len(there))]


# ---- any sequence of calls


CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(0, 2), st.binary(max_size=20)),
        st.tuples(
            st.just("append many"),
            st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.binary(max_size=20)), min_size=1, max_size=5),
        ),
        st.tuples(st.just("claim"), st.integers(-1, 1)),
        st.tuples(st.just("trim"), st.integers(0, 15)),
        st.tuples(st.just("reopen")),
    ),
    max_size=40,
)


def check_reads(log: Log, entries: list[tuple[str, int, bytes]], floor: int) -> None:
    assert log.end() == len(entries)
    assert log.first() <= floor
    assert len(list(log.read(log.first()))) == len(entries) - log.first()
    for start in range(len(entries) + 2):
        try:
            there = list(log.read(start))
        except LostState:
            assert start < floor
        else:
            assert there == [(at, entries[at][2]) for at in range(start, len(entries))]


@pytest.mark.parametrize("kind", ["dir", "redis", "memory"])
@settings(max_examples=60)
@given(calls=CALLS)
def test_a_log_is_a_list_that_knows_its_numbers(
    redis_server: RedisServer, kind: str, calls: list[tuple[Any, ...]]
) -> None:
    entries: list[tuple[str, int, bytes]] = []
    generation, floor = 1, 0
    with fresh_space(kind, redis_server) as space:
        log = small(space.log("l"))
        log.claim(generation)
        for call in calls:
            match call:
                case ("append", str(producer), int(ahead), bytes(data)):
                    last = sum(entry[0] == producer for entry in entries)
                    number = last + ahead
                    if not number:
                        continue
                    if number > last + 1:
                        with pytest.raises(Gap):
                            log.append(producer, number, data, generation=generation)
                        continue
                    offset = log.append(producer, number, data, generation=generation)
                    if number == last + 1:
                        entries.append((producer, number, data))
                    assert entries[offset][:2] == (producer, number)
                    with pytest.raises(Conflict):
                        log.append(producer, number, data, generation=generation - 1)
                case ("append many", list(group)):
                    news, offsets = appended_at_once(entries, group)
                    assert log.append_many(news, generation=generation) == offsets
                    with pytest.raises(Conflict):
                        log.append_many(news, generation=generation - 1)
                case ("claim", int(by)):
                    if by < 0:
                        with pytest.raises(Conflict):
                            log.claim(generation + by)
                    else:
                        generation += by
                        newest = {each[0]: Last(each[1], at) for at, each in enumerate(entries)}
                        assert log.claim(generation) == LogState(len(entries), newest)
                case ("trim", int(below)):
                    log.trim(below)
                    floor = max(floor, min(below, len(entries)))
                case _:
                    log = small(space.log("l"))
            check_reads(log, entries, floor)


def appended_at_once(
    entries: list[tuple[str, int, bytes]], group: list[tuple[str, bool, bytes]]
) -> tuple[list[New], list[int]]:
    """Puts what is new among the entries; returns what to append, and the offsets that are to come of it."""
    news, offsets = [], []
    for producer, again, data in group:
        own = [at for at, entry in enumerate(entries) if entry[0] == producer]
        if not (again and own):
            own.append(len(entries))
            entries.append((producer, len(own), data))
        news.append(New(producer, len(own), data))
        offsets.append(own[-1])
    return news, offsets


def small(log: Log) -> Log:
    """Segments of a directory end after a few entries."""
    if isinstance(log, DirectoryLog):
        log._segment_bytes = 200
    return log
