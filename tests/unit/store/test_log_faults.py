"""A log whose disk or server is torn, damaged, full, slow or forgetful."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from limnad.store import Conflict, Full, LogState, New, Store, StoreError, Unavailable, open_store
from limnad.store.directory_log import DirectoryLog
from limnad.store.redis_link import look_at_persistence
from limnad.store.redis_log import Waiting
from tests.helpers.redis_server import RedisServer
from tests.unit.store.test_redis_faults import HASTY, NOISE, Line, lossy, redis_used  # noqa: F401 - a fixture


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    own = open_store(f"dir:{tmp_path}/store")
    yield own
    own.close()


def segments(tmp_path: Path) -> list[Path]:
    return sorted(path for path in tmp_path.rglob("logs/l/*") if path.name.isdigit())


# ---- a directory


def test_a_torn_tail_is_cut_off_whereever_it_is_torn(tmp_path: Path) -> None:
    with closing(open_store(f"dir:{tmp_path}/store")) as store:
        log = store.job("j").log("l")
        log.append("a", 1, b"first", generation=1)
        [path] = segments(tmp_path)
        whole = path.read_bytes()
        log.append("a", 2, b"second, torn", generation=1)
        torn = path.read_bytes()
        tails = [torn[:size] for size in range(len(whole), len(torn))]
        tails += [whole + bytes(size) for size in (1, 10, 23, 24, 5000)]
        tails += [torn[:at] + bytes(len(torn) - at) for at in range(len(whole) + 23, len(torn))]
        for tail in tails:
            path.write_bytes(tail)
            again = store.job("j").log("l")
            assert (again.end(), again.last_sequence("a"), list(again.read(0))) == (1, 1, [(0, b"first")])
            assert path.read_bytes() == whole
            assert again.append("a", 2, b"anew", generation=1) == 1
            assert [data for _, data in store.job("j").log("l").read(0)] == [b"first", b"anew"]


def test_of_entries_that_come_at_once_a_crash_leaves_all_or_none(tmp_path: Path) -> None:
    with closing(open_store(f"dir:{tmp_path}/store")) as store:
        log = store.job("j").log("l")
        log.append("a", 1, b"first", generation=1)
        [path] = segments(tmp_path)
        whole = path.read_bytes()
        assert log.append_many([New("a", 2, b"second"), New("b", 1, b"third")], generation=1) == [1, 2]
        full = path.read_bytes()
        # A disk may write the end before the beginning.
        tails = [full[:size] for size in range(len(whole), len(full))]
        tails += [full[: len(whole) + 23] + bytes(size) + full[len(whole) + 23 + size :] for size in (1, 20, 40)]
        for tail in tails:
            path.write_bytes(tail)
            again = store.job("j").log("l")
            assert (again.end(), list(again.read(0))) == (1, [(0, b"first")])
        path.write_bytes(full)
        again = store.job("j").log("l")
        assert (again.end(), again.last_sequence("a"), again.last_sequence("b")) == (3, 2, 1)
        assert [data for _, data in again.read(1)] == [b"second", b"third"]


def test_damage_before_the_end_is_an_error_at_every_byte(tmp_path: Path) -> None:
    with closing(open_store(f"dir:{tmp_path}/store")) as store:
        log = store.job("j").log("l")
        log.append("a", 1, b"first", generation=1)
        [path] = segments(tmp_path)
        size = path.stat().st_size
        log.append("a", 2, b"second", generation=1)
        whole = path.read_bytes()
        for at in range(size):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            path.write_bytes(damaged)
            with pytest.raises(StoreError, match="damage"):
                store.job("j").log("l").append("a", 3, b"", generation=1)
            assert path.stat().st_size == len(whole)


def test_a_segment_that_is_not_the_newest_is_never_cut(tmp_path: Path) -> None:
    with closing(open_store(f"dir:{tmp_path}/store")) as store:
        log = DirectoryLog(tmp_path / "store/jobs/j/logs/l", "here", store._scratch, cast(Any, nullcontext), 100)  # type: ignore[attr-defined]
        for number in (1, 2, 3):
            log.append("a", number, b"x" * 100, generation=1)
        first, *others = segments(tmp_path)
        assert others
        os.truncate(first, first.stat().st_size - 1)
        with pytest.raises(StoreError, match="is damaged at byte"):
            list(log.read(0))
        shutil.rmtree(tmp_path / "store")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, Full), (errno.EDQUOT, Full), (errno.EIO, Unavailable), (errno.EROFS, StoreError)],
)
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_an_append_that_the_disk_refuses_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError], call: str
) -> None:
    log = store.job("j").log("l")
    log.append("a", 1, b"1", generation=1)
    [path] = segments(tmp_path)
    before = path.read_bytes()

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(kind, match=os.strerror(number)) as raised:
            log.append("a", 2, NOISE, generation=1)
        assert type(raised.value) is kind
    assert path.read_bytes() == before
    assert log.append("a", 2, b"2", generation=1) == 1
    assert [data for _, data in log.read(0)] == [b"1", b"2"]


FULL = """
import resource, sys
from limnad.store import Full, open_store
store = open_store(sys.argv[1])
log = store.job("j").log("l")
log.append("a", 1, b"small", generation=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
for _ in range(2):
    try:
        log.append("a", 2, b"x" * 100_000, generation=1)
    except Full as error:
        print(error)
assert log.append("a", 2, b"fits", generation=1) == 1
store.close()
"""


def test_a_disk_that_takes_half_an_entry_leaves_nothing(store: Store, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, f"dir:{tmp_path}/store"], check=True, capture_output=True, text=True
    )
    assert done.stdout.count("Free some space") == 2, done.stderr
    assert list(store.job("j").log("l").read(0)) == [(0, b"small"), (1, b"fits")]


def test_old_segments_go_and_new_ones_begin(store: Store, tmp_path: Path) -> None:
    log = DirectoryLog(tmp_path / "store/jobs/j/logs/l", "here", store._scratch, cast(Any, nullcontext), 1000)  # type: ignore[attr-defined]
    for number in range(1, 31):
        log.append("a", number, b"x" * 400, generation=1)
    assert len(segments(tmp_path)) == 10
    log.trim(20)
    assert [at for at, _ in log.read(20)] == list(range(20, 30))
    assert len(segments(tmp_path)) <= 6
    log.trim(30)
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 500


# ---- Redis


@pytest.mark.parametrize("lost", [["request"], ["answer"], ["answer", "answer", "request", "answer"]])
def test_an_append_whose_answer_was_lost_has_happened_once(lossy: tuple[Any, Line], lost: list[str]) -> None:  # noqa: F811
    store, line = lossy
    log = store.job("j").log("l")
    for number in (1, 2):
        line.lost = list(lost)
        assert log.append("a", number, b"%d" % number, generation=1) == number - 1
    line.lost = list(lost)
    assert log.claim(2).end == 2
    assert [data for _, data in log.read(0)] == [b"1", b"2"]


def test_a_server_that_hangs_appends_once_whatever_is_said() -> None:
    with RedisServer() as server, closing(open_store(server.url + HASTY)) as hasty:
        log = hasty.job("j").log("l")
        log.append("a", 1, b"1", generation=1)
        server.freeze()
        with pytest.raises(Unavailable):
            log.append("a", 2, b"2", generation=1)
        server.thaw()
        assert log.append("a", 2, b"2", generation=1) == 1
        server.freeze()
        with pytest.raises(Unavailable):
            log.append("a", 3, b"zombie", generation=1)
        server.thaw()
        with closing(open_store(server.url)) as other:
            new = other.job("j").log("l")
            held = new.claim(2)
            # Whether the late append came before the claim or not: it is in what the claim saw, or nowhere.
            assert [data for _, data in new.read(0)] == [b"1", b"2", b"zombie"][: held.end]
            assert new.append("b", 1, b"b", generation=2) == held.end
        with pytest.raises(Conflict):
            log.append("a", 4 if held.end == 3 else 3, b"", generation=1)


def test_a_full_server_takes_nothing_and_is_trimmed() -> None:
    with RedisServer() as server, closing(open_store(server.url)) as store:
        log = store.job("j").log("l")
        for number in range(1, 11):
            log.append("a", number, NOISE, generation=1)
        server.do("CONFIG", "SET", "maxmemory", str(redis_used(server) - 100_000))
        with pytest.raises(Full, match="raise its maxmemory"):
            log.append("a", 11, NOISE, generation=1)
        assert (log.end(), log.last_sequence("a")) == (10, 10)
        log.trim(10)
        assert log.append("a", 11, NOISE, generation=1) == 10


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_a_durable_server_is_waited_for(fsync: str) -> None:
    with RedisServer(appendonly="yes", appendfsync=fsync) as server, closing(open_store(server.url)) as store:
        log = store.job("j").log("l")
        waits = look_at_persistence(store._link).waits  # type: ignore[attr-defined]
        assert bool(log._waiting.commands()) is waits  # type: ignore[attr-defined]
        log.append("a", 1, b"1", generation=1)
        if waits or fsync == "always":
            server.kill()
            server.start()
            assert list(log.read(0)) == [(0, b"1")]


def test_an_append_that_is_not_confirmed_is_unavailable_and_then_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer() as server, closing(open_store(server.url)) as store:
        log = store.job("j").log("l")
        monkeypatch.setattr(Waiting, "commands", lambda self: [("EVAL", "return {0, 0}", 0)])
        with pytest.raises(Unavailable, match="has not confirmed"):
            log.append("a", 1, b"1", generation=1)
        monkeypatch.setattr(Waiting, "commands", lambda self: [("EVAL", "return {1, 0}", 0)])
        assert log.append("a", 1, b"1", generation=1) == 0
        assert log.end() == 1


def test_nothing_of_a_log_expires_or_stays_behind() -> None:
    with RedisServer() as server, closing(open_store(server.url)) as store:
        log = store.job("j").log("l")
        log.append("a", 1, b"1", generation=1)
        keys: Any = server.do("KEYS", "*")
        assert {server.do("TTL", key.decode()) for key in keys} == {-1}
        assert {key.decode() for key in keys if not key.startswith(b"limnad:{j}:")} == {"limnad:jobs"}
        log.delete()
        assert server.do("KEYS", "*") == [b"limnad:jobs"]
        assert log.claim(1) == LogState()
