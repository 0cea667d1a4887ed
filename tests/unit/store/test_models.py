"""Any sequence of calls does what a dict would do, in every store."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad.store import ABSENT, ChunkMissing, ChunkRef, Conflict, Space, Version, open_store
from limnad.testing.memory_store import MemorySpace
from tests.helpers.redis_server import RedisServer

KEYS = st.sampled_from(["a", "a/b", "A", "é {x}", "..", "checkpoint/1"])
EXAMPLES = 60


@contextmanager
def fresh_space(kind: str, server: RedisServer) -> Iterator[Space]:
    if kind == "memory":
        yield MemorySpace()
        return
    folder = tempfile.mkdtemp()
    server.do("FLUSHALL")
    store = open_store(f"dir:{folder}" if kind == "dir" else server.url)
    try:
        yield store.job("job")
    finally:
        store.close()
        shutil.rmtree(folder)


LEDGER_CALLS = st.lists(
    st.tuples(st.sampled_from(["put", "put stale", "delete", "delete stale", "keys"]), KEYS, st.binary(max_size=20)),
    max_size=30,
)


@pytest.mark.parametrize("kind", ["dir", "redis", "memory"])
@settings(max_examples=EXAMPLES)
@given(calls=LEDGER_CALLS)
def test_a_ledger_is_a_dict_with_versions(
    redis_server: RedisServer, kind: str, calls: list[tuple[str, str, bytes]]
) -> None:
    model: dict[str, tuple[bytes, Version]] = {}
    stale: set[Version] = {Version(b"x" * 16)}
    with fresh_space(kind, redis_server) as space:
        for call, key, value in calls:
            version = model[key][1] if key in model else ABSENT
            wrong = min((stale | {ABSENT}) - {version})
            if call == "put":
                new = space.ledger.put(key, value, version)
                assert new not in stale
                model[key] = (value, new)
                stale |= {version} - {ABSENT}
            elif call == "put stale":
                with pytest.raises(Conflict):
                    space.ledger.put(key, value, wrong)
            elif call == "delete":
                space.ledger.delete(key, version)
                model.pop(key, None)
                stale |= {version} - {ABSENT}
            elif call == "delete stale" and key in model:
                with pytest.raises(Conflict):
                    space.ledger.delete(key, wrong)
            assert space.ledger.keys(key) == sorted(other for other in model if other.startswith(key))
            held = space.ledger.get(key)
            assert (None if held is None else (held.value, held.version)) == model.get(key)


DATAS = st.sampled_from([b"", b"a", b"b" * 500, b"c" * 5000])
CHUNK_CALLS = st.lists(
    st.tuples(
        st.sampled_from(["put", "touch", "delete", "delete below"]), st.lists(DATAS, max_size=4), st.integers(1, 5)
    ),
    max_size=20,
)


@pytest.mark.parametrize("kind", ["dir", "redis", "memory"])
@settings(max_examples=EXAMPLES)
@given(calls=CHUNK_CALLS)
def test_chunks_are_a_dict_with_marks(
    redis_server: RedisServer, kind: str, calls: list[tuple[str, list[bytes], int]]
) -> None:
    contents: dict[ChunkRef, bytes] = {}
    marks: dict[ChunkRef, int] = {}
    with fresh_space(kind, redis_server) as space:
        for call, datas, mark in calls:
            named = {ChunkRef.of(data): data for data in datas}
            there = named.keys() & contents.keys()
            if call == "put":
                assert set(space.chunks.put_many(datas, mark=mark)) == named.keys()
                contents |= named
                marks |= {ref: max(mark, marks.get(ref, 0)) for ref in named}
            elif call == "touch":
                assert space.chunks.touch(named, mark=mark) == there
                marks |= {ref: max(mark, marks[ref]) for ref in there}
            else:
                below = mark if call == "delete below" else None
                gone = {ref for ref in there if below is None or marks[ref] < below}
                assert space.chunks.delete(named, below=below) == len(gone)
                for ref in gone:
                    del contents[ref], marks[ref]
            assert space.chunks.refs() == contents.keys()
            assert space.chunks.has(named) == named.keys() & contents.keys()
            for ref in named:
                if ref in contents:
                    assert space.chunks.get(ref) == contents[ref]
                else:
                    with pytest.raises(ChunkMissing):
                        space.chunks.get(ref)
