"""A Redis that is away, hangs, is full, drops keys, forgot, or is damaged."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost

from limnad.store import (
    ABSENT,
    Checkpoints,
    ChunkRef,
    Conflict,
    Full,
    Identity,
    StoreError,
    Unavailable,
    Unsafe,
    open_store,
    retain,
)
from limnad.store.redis_link import Link, Timing, look_at_persistence
from limnad.store.redis_store import RedisStore
from tests.helpers.redis_server import RedisServer

HASTY = "?timeout_s=0.2&patience_s=0.3"
NOISE = random.Random(1).randbytes(100_000)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as own:
        yield own


def opened(server: RedisServer, query: str = "") -> "closing[Any]":
    return opened_at(server.url + query)


def opened_at(url: str) -> "closing[Any]":
    return closing(open_store(url))


# ---- away and back


def test_a_server_that_is_not_there_is_unavailable_within_the_patience(server: RedisServer) -> None:
    server.kill()
    with pytest.raises(Unavailable, match=r"did not answer for 0\.3 s .* the call may be made again"):
        open_store(server.url + HASTY)


def test_a_server_that_hangs_is_unavailable_and_later_serves_again(server: RedisServer) -> None:
    with opened(server, HASTY) as store:
        version = store.ledger.put("a", b"1", ABSENT)
        server.freeze()
        try:
            for call in (lambda: store.ledger.get("a"), lambda: store.chunks.put(b"x", mark=1), store.jobs):
                with pytest.raises(Unavailable):
                    call()
        finally:
            server.thaw()
        assert store.ledger.get("a").version == version


def test_a_put_that_a_hanging_server_does_later_is_told_apart_by_reading(server: RedisServer) -> None:
    """What was sent before the time-out stays in the server's socket: the outcome is unknown, as it is said."""
    with opened(server, HASTY) as store, opened(server) as other:
        version = store.ledger.put("a", b"1", ABSENT)
        server.freeze()
        with pytest.raises(Unavailable):
            store.ledger.put("a", b"2", version)
        server.thaw()
        held = other.ledger.get("a")
        assert held.value in (b"1", b"2")
        other.ledger.put("a", b"3", held.version)
        # However many copies of the request still come, they expect a version that is gone for good.
        with pytest.raises(Conflict):
            store.ledger.put("a", b"4", version)
        assert other.ledger.get("a").value == b"3"


def test_a_restarted_server_is_found_again() -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as durable, opened(durable) as store:
        version = store.ledger.put("a", b"1", ABSENT, durable=True)
        ref = store.job("j").chunks.put(NOISE, mark=1)
        durable.kill()
        durable.start()
        assert store.ledger.get("a").version == version
        assert store.job("j").chunks.get(ref) == NOISE
        assert store.jobs() == ["j"]


def test_a_call_waits_for_a_server_that_comes_back(server: RedisServer) -> None:
    with opened(server) as store:
        server.kill()
        restart = threading.Thread(target=server.start)
        restart.start()
        store.ledger.put("a", b"1", ABSENT)
        restart.join()
        assert store.ledger.get("a").value == b"1"


class Line:
    """Stands before a client and loses answers, or requests."""

    def __init__(self, client: Any, lost: list[str]) -> None:
        self._client = client
        self.lost = lost

    def execute_command(self, *command: Any) -> Any:
        fault = self.lost.pop(0) if self.lost and command[0] == "EVAL" else ""
        if fault == "request":
            raise Lost("the request was lost")
        answer = self._client.execute_command(*command)
        if fault == "answer":
            raise Lost("the answer was lost")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def lossy(redis_server: RedisServer) -> Iterator[tuple[RedisStore, Line]]:
    redis_server.do("FLUSHALL")
    store = RedisStore("here", {"unix_socket_path": str(redis_server.socket)})
    store._link._sleep = lambda _: None
    store._link._client = line = Line(store._link._client, [])
    yield store, line
    store.close()


@pytest.mark.parametrize("lost", [["request"], ["answer"], ["answer", "answer", "request", "answer"]])
def test_a_put_or_delete_whose_answer_was_lost_has_happened_once(
    lossy: tuple[RedisStore, Line], lost: list[str]
) -> None:
    store, line = lossy
    line.lost = list(lost)
    first = store.ledger.put("a", b"1", ABSENT)
    line.lost = list(lost)
    second = store.ledger.put("a", b"2", first)
    held = store.ledger.get("a")
    assert held is not None
    assert (held.value, held.version) == (b"2", second)
    line.lost = list(lost)
    store.ledger.delete("a", second)
    assert store.ledger.get("a") is None


def test_a_put_whose_answer_was_lost_does_not_take_anothers_write_for_its_own(
    lossy: tuple[RedisStore, Line], redis_server: RedisServer
) -> None:
    store, line = lossy
    first = store.ledger.put("a", b"1", ABSENT)
    with opened(redis_server) as other:
        store._link._sleep = lambda _: other.ledger.put("a", b"2", first)
        line.lost = ["request"]
        with pytest.raises(Conflict):
            store.ledger.put("a", b"2", first)  # the same bytes, but not our write


def test_waits_grow_with_chance_up_to_the_patience(server: RedisServer) -> None:
    now_s, waits_s = [0.0], list[float]()

    def sleep(wait_s: float) -> None:
        waits_s.append(wait_s)
        now_s[0] += wait_s

    server.kill()
    arguments = {"unix_socket_path": str(server.socket)}
    link = Link("here", arguments, Timing(patience_s=60), clock=lambda: now_s[0], sleep=sleep)
    with pytest.raises(Unavailable):
        link.call("PING")
    link.close()
    assert 20 < sum(waits_s) < 60
    assert max(waits_s[:2]) <= 0.1
    assert max(waits_s) <= 2
    assert len(set(waits_s)) == len(waits_s)


# ---- memory


def test_a_full_server_says_so_and_still_deletes(server: RedisServer) -> None:
    with opened(server, "?compress=never") as store:
        job = store.job("j")
        checkpoints = Checkpoints(job)
        for number in range(2):
            mark = checkpoints.begin()
            checkpoints.commit(mark, [job.chunks.put(NOISE[number:], mark=mark)], b"")
        used = redis_used(server)
        server.do("CONFIG", "SET", "maxmemory", str(used + 250_000))
        number = checkpoints.begin()
        with pytest.raises(Full, match="raise its maxmemory"):
            job.chunks.put_many([NOISE[shift:] for shift in range(2, 9)], mark=number)
        server.do("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Full):
            job.ledger.put("x", b"", ABSENT)
        with pytest.raises(Full):
            job.chunks.touch(job.chunks.refs(), mark=number)
        assert job.chunks.delete(job.chunks.refs(), below=number) == 2


def redis_used(server: RedisServer) -> int:
    info: Any = server.do("INFO", "memory")
    return int(info["used_memory"])


def test_what_a_full_server_had_announced_is_swept(server: RedisServer) -> None:
    with opened(server) as store:
        job = store.job("j")
        checkpoints = Checkpoints(job)
        mark = checkpoints.begin()
        checkpoints.commit(mark, [job.chunks.put(b"kept", mark=mark)], b"")
        failed = checkpoints.begin()
        ghost = ChunkRef.of(b"announced, never written")
        job.chunks._mark([ghost], failed, announce=True)
        assert ghost in job.chunks.refs()
        assert ghost not in job.chunks.has([ghost])
        checkpoints.abandon(failed)
        retain(checkpoints, keep=1)
        assert job.chunks.refs() == {ChunkRef.of(b"kept")}


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_may_drop_our_keys_is_refused(policy: str) -> None:
    refused = pytest.raises(Unsafe, match=f"{policy}.*set maxmemory-policy to noeviction")
    with RedisServer(maxmemory="100mb", maxmemory_policy=policy) as server, refused:
        open_store(server.url)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_a_server_that_drops_only_what_expires_is_taken(policy: str) -> None:
    with RedisServer(maxmemory="100mb", maxmemory_policy=policy) as server, opened(server) as store:
        store.ledger.put("a", b"", ABSENT)


def test_nothing_of_ours_expires(server: RedisServer) -> None:
    with opened(server) as store:
        job = store.job("j")
        mark = Checkpoints(job).begin()
        Checkpoints(job).commit(mark, [job.chunks.put(b"x", mark=mark)], b"")
        Identity(job).rise()
        keys: Any = server.do("KEYS", "*")
        assert len(keys) == 4
        assert {server.do("TTL", key.decode()) for key in keys} == {-1}
        assert {key.decode() for key in keys if b"{" not in key} == {"limnad:jobs"}
        assert all(key.startswith((b"limnad:{j}:", b"limnad:jobs")) for key in keys)


def test_a_server_that_comes_back_dropping_keys_is_refused(server: RedisServer) -> None:
    with opened(server) as store:
        server.kill()
        server._options |= {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
        server.start()
        for _ in range(2):
            with pytest.raises(Unsafe):
                store.ledger.put("a", b"", ABSENT)
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
        store.ledger.put("a", b"", ABSENT)


# ---- permission


def test_a_wrong_password_is_no_reason_to_wait() -> None:
    with RedisServer(requirepass="right") as server:
        with pytest.raises(StoreError, match="refuses this user") as raised:
            open_store(server.url)
        assert not isinstance(raised.value, Unavailable)
        with pytest.raises(StoreError, match="refuses this user") as raised:
            open_store(f"unix://:wr0ng@{server.socket}")
        assert "wr0ng" not in str(raised.value)
        store = open_store(f"unix://:right@{server.socket}")
        assert "right" not in store.describe()
        store.close()


def test_a_user_who_may_not_see_the_configuration_can_work(server: RedisServer) -> None:
    server.do("CONFIG", "SET", "maxmemory", "100mb")
    server.do("ACL", "SETUSER", "limnad", "on", ">secret", "~limnad:*", "+@all", "-config")
    url = f"unix://limnad:secret@{server.socket}"
    with opened_at(url) as store:
        store.job("j").chunks.put(b"x", mark=1)
        assert not store.durability.sure
        server.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        with pytest.raises(Unsafe):
            open_store(url)
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.do("CONFIG", "SET", "appendonly", "yes")
        waits = look_at_persistence(store._link).waits
        assert store.durability.sure is waits
        assert waits or "CONFIG is forbidden" in store.durability.reason
