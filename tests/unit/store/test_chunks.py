"""Immutable bytes, in both stores."""

import random
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from limnad.store import ChunkCorrupt, ChunkMissing, ChunkRef, Space, Store
from limnad.store import windows as windows_module
from limnad.store.interface import MAX_CHUNK_BYTES, Bytes
from tests.unit.store.conftest import JOB

DATAS = [b"", b"a", b"\0" * 100_000, random.Random(1).randbytes(70_000), b"abc" * 1000]
ABOVE_ALL = 1 << 31


def test_what_was_put_is_got(space: Space) -> None:
    refs = space.chunks.put_many(DATAS, mark=1)
    assert refs == [ChunkRef.of(data) for data in DATAS]
    assert list(space.chunks.get_many(refs)) == DATAS
    assert [space.chunks.get(ref) for ref in reversed(refs)] == DATAS[::-1]
    assert space.chunks.refs() == space.chunks.has([*refs, ChunkRef.of(b"other")]) == set(refs)


def test_whatever_is_like_bytes_may_be_put(space: Space) -> None:
    numbers = array("q", range(1000))
    datas: list[Bytes] = [bytearray(b"x" * 300), memoryview(b"y" * 300), memoryview(numbers)]
    refs = space.chunks.put_many(datas, mark=1)
    assert list(space.chunks.get_many(refs)) == [bytes(data) for data in datas]
    assert refs[2].size == 8000


def test_a_chunk_that_is_put_twice_is_one(space: Space) -> None:
    assert len(set(space.chunks.put_many([b"a", b"b", b"a"], mark=1))) == 2
    assert space.chunks.put(b"a", mark=2) == ChunkRef.of(b"a")
    assert len(space.chunks.refs()) == 2


def test_many_windows_are_put_and_got_in_order(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_ITEMS", 3)
    monkeypatch.setattr(windows_module, "WINDOW_BYTES", 10)
    datas = [b"%d" % number * (number % 5) for number in range(40)]
    refs = space.chunks.put_many(iter(datas), mark=1)
    assert list(space.chunks.get_many(iter(refs))) == datas
    assert space.chunks.touch(refs, mark=1) == space.chunks.has(refs) == set(refs)
    assert space.chunks.delete(refs) == len(set(refs))


def test_no_more_than_a_window_is_taken_at_once(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_ITEMS", 2)
    there: list[int] = []

    def produced() -> Iterator[bytes]:
        for number in range(6):
            there.append(len(space.chunks.refs()))
            yield b"%d" % number

    space.chunks.put_many(produced(), mark=1)
    assert there == [0, 0, 2, 2, 4, 4]


def test_a_missing_chunk_says_which(space: Space) -> None:
    ref = ChunkRef.of(b"missing")
    here = space.chunks.put(b"here", mark=1)
    for ask in (lambda: space.chunks.get(ref), lambda: list(space.chunks.get_many([here, ref]))):
        with pytest.raises(ChunkMissing, match=str(ref)) as raised:
            ask()
        assert raised.value.ref == ref


def test_a_chunk_under_a_wrong_name_is_corrupt(space: Space) -> None:
    """The name that a manifest lists is checked in full, its size too."""
    ref = space.chunks.put(b"x" * 1000, mark=1)
    with pytest.raises((ChunkMissing, ChunkCorrupt)):
        space.chunks.get(replace(ref, size=999))


def test_chunks_are_shared_between_processes(opened: Callable[[], Store]) -> None:
    ref = opened().job(JOB).chunks.put(b"a" * 1000, mark=1)
    assert opened().job(JOB).chunks.get(ref) == b"a" * 1000


def test_deletion_spares_what_is_marked_as_high(space: Space) -> None:
    low, high = space.chunks.put(b"low", mark=1), space.chunks.put(b"high", mark=2)
    assert space.chunks.delete([low, high, ChunkRef.of(b"none")], below=2) == 1
    assert space.chunks.refs() == {high}
    assert space.chunks.delete([high], below=3) == 1
    assert space.chunks.refs() == set()


@pytest.mark.parametrize("again", ["put", "touch"])
def test_wanting_a_chunk_again_raises_its_mark_and_never_lowers_it(space: Space, again: str) -> None:
    ref = space.chunks.put(b"a", mark=1)
    for mark in (5, 3):
        if again == "put":
            space.chunks.put(b"a", mark=mark)
        else:
            assert space.chunks.touch([ref, ChunkRef.of(b"none")], mark=mark) == {ref}
    assert space.chunks.delete([ref], below=5) == 0
    assert space.chunks.delete([ref], below=6) == 1


def test_touching_what_is_not_there_makes_nothing(space: Space) -> None:
    ref = ChunkRef.of(b"none")
    assert space.chunks.touch([ref], mark=1) == set()
    assert space.chunks.refs() == set()


def test_a_deleted_chunk_can_be_put_anew(space: Space) -> None:
    ref = space.chunks.put(b"a", mark=7)
    assert space.chunks.delete([ref], below=8) == 1
    space.chunks.put(b"a", mark=3)
    assert space.chunks.get(ref) == b"a"
    assert space.chunks.delete([ref], below=4) == 1


def test_a_chunk_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="cut it"):
        ChunkRef.of(memoryview(bytearray(MAX_CHUNK_BYTES + 1)))


@pytest.mark.parametrize("text", ["", "abc", "g" * 64 + ".1", "a" * 64, "a" * 64 + ".01", "a" * 64 + ".-1", "../x.1"])
def test_what_is_no_name_of_a_chunk_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of a chunk"):
        ChunkRef.parse(text)


def test_names_of_chunks_are_read_back() -> None:
    for data in DATAS:
        assert ChunkRef.parse(str(ChunkRef.of(data))) == ChunkRef.of(data)
