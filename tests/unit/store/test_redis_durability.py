"""What a Redis can promise, and how it is noticed that it did not keep it."""

import os
import random
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from limnad.store import ABSENT, ChunkCorrupt, Durability, Identity, LostState, Unavailable, Unsafe, open_store
from limnad.store.redis_link import Persistence, judge, look_at_persistence
from limnad.store.redis_store import RedisLedger
from tests.helpers.redis_server import RedisServer

NOISE = random.Random(1).randbytes(1000)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as own:
        yield own


def opened(server: RedisServer, query: str = "") -> "closing[Any]":
    return closing(open_store(server.url + query))


@pytest.mark.parametrize(
    ("options", "sure", "reason"),
    [
        ({}, False, "in memory only"),
        ({"appendonly": "yes", "appendfsync": "no"}, False, "never syncs"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, None, "WAITAOF|now and then"),
        ({"appendonly": "yes", "appendfsync": "always"}, True, "WAITAOF|appendfsync always"),
        (
            {"appendonly": "yes", "appendfsync": "always", "no_appendfsync_on_rewrite": "yes"},
            None,
            "WAITAOF|while it rewrites",
        ),
    ],
)
def test_durability_is_what_the_server_can_promise(options: dict[str, str], sure: bool | None, reason: str) -> None:
    with RedisServer(**options) as server, opened(server) as store:
        waits = look_at_persistence(store._link).waits  # Redis 7.2 and newer
        said: Durability = store.durability
        assert said.sure is (waits if sure is None else sure)
        assert any(part in said.reason for part in reason.split("|"))
        if said.sure:
            version = store.ledger.put("a", b"1", ABSENT, durable=True)
            server.kill()
            server.start()
            assert store.ledger.get("a").version == version
        else:
            with pytest.raises(Unsafe, match="cannot promise"):
                store.ledger.put("a", b"1", ABSENT, durable=True)
            assert store.ledger.get("a") is None


def test_a_durable_put_that_redis_does_not_confirm_is_unavailable(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of a server cannot be slowed down from here: an answer like WAITAOF's stands for it."""
    store = open_store(server.url)
    monkeypatch.setattr(RedisLedger, "_waiting", lambda self: [("EVAL", "return {0, 0}", 0)])
    with pytest.raises(Unavailable, match="has not confirmed"):
        store.ledger.put("a", b"1", ABSENT, durable=True)
    held = store.ledger.get("a")
    assert held is not None
    monkeypatch.setattr(RedisLedger, "_waiting", lambda self: [("EVAL", "return {1, 0}", 0)])
    store.ledger.put("a", b"1", held.version, durable=True)
    store.close()


def test_the_judgement_of_what_cannot_be_asked_is_no() -> None:
    assert not judge(Persistence(appends=True, fsync=None, pauses=None, waits=False)).sure
    assert judge(Persistence(appends=True, fsync=None, pauses=None, waits=True)).sure


def test_a_wiped_server_is_lost_state(server: RedisServer) -> None:
    with opened(server) as store:
        identity = Identity(store.job("j"))
        seen = identity.rise()
        server.do("FLUSHALL")
        with pytest.raises(LostState, match="empty"):
            identity.check(seen)
        identity.rise()
        with pytest.raises(LostState, match="another store"):
            identity.check(seen)


def test_a_server_that_lost_its_last_second_is_lost_state() -> None:
    """What power loss does to a file that was not synced: its end is missing."""
    with RedisServer(appendonly="yes", appendfsync="everysec") as server, opened(server) as store:
        identity = Identity(store.job("j"))
        identity.rise()
        [file] = [path for path in server.folder.rglob("*.aof") if path.read_bytes().count(b"limnad:{j}:ledger")]
        synced_bytes = file.stat().st_size
        seen = identity.rise()
        server.kill()
        os.truncate(file, synced_bytes)
        server.start()
        for call in (identity.check, identity.rise):
            with pytest.raises(LostState, match="says 1, but had reached 2"):
                call(seen)


@pytest.mark.parametrize("compress", ["always", "never"])
def test_a_damaged_chunk_is_corrupt_and_can_be_put_anew(server: RedisServer, compress: str) -> None:
    data = NOISE * 20
    with opened(server, f"?compress={compress}") as store, server.client() as bare:
        chunks = store.job("j").chunks
        ref = chunks.put(data, mark=1)
        key = f"limnad:{{j}}:c:{ref}"
        whole = bare.get(key)
        assert isinstance(whole, bytes)
        assert (len(whole) < len(data)) == (compress == "always")
        for at in range(0, len(whole), 97):
            damaged = bytearray(whole)
            damaged[at] ^= 0x10
            for bad in (bytes(damaged), whole[:at], whole + b"x"):
                bare.set(key, bad)
                with suppress(ChunkCorrupt):  # some bits of a frame say nothing of its content
                    assert chunks.get(ref) == data
        bare.set(key, b"")
        with pytest.raises(ChunkCorrupt, match=str(ref)) as raised:
            chunks.get(ref)
        assert raised.value.ref == ref
        chunks.delete([ref])
        chunks.put(data, mark=1)
        assert chunks.get(ref) == data
