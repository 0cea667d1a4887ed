"""A directory that is full, damaged, locked, or of somebody who died."""

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limnad.store import ABSENT, ChunkCorrupt, ChunkRef, Full, Store, StoreError, Unavailable, open_store
from limnad.store.directory import DirectoryStore
from limnad.store.files import Lock

NOISE = random.Random(1).randbytes(100_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    own = open_store(f"dir:{tmp_path}/store")
    yield own
    own.close()


def files(tmp_path: Path) -> list[str]:
    """All files of the store but its locks."""
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock")


FULL = """
import resource, sys
from limnad.store import ABSENT, Full, open_store
store = open_store(sys.argv[1])
job = store.job("j")
job.chunks.put(b"small", mark=1)
version = job.ledger.put("a", b"1", ABSENT)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
for call in (
    lambda: job.chunks.put_many([b"more", bytes(range(256)) * 400, b"again"], mark=1),
    lambda: job.ledger.put("a", b"2" * 100_000, version),
    lambda: job.ledger.put("b", b"2" * 100_000, ABSENT),
):
    try:
        call()
    except Full as error:
        print(error)
assert job.ledger.get("a").value == b"1"
store.close()
"""


def test_a_file_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    """The real thing as far as it goes without a disk of one's own: the kernel takes a part of a file, and refuses."""
    url = f"dir:{tmp_path}/store?compress=never"
    done = subprocess.run([sys.executable, "-c", FULL, url], check=True, capture_output=True, text=True)
    assert done.stdout.count("Free some space") == 3, done.stderr
    assert files(tmp_path) == sorted(["a", str(ChunkRef.of(b"small"))])


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, Full),
        (errno.EDQUOT, Full),
        (errno.EIO, Unavailable),
        (errno.EROFS, StoreError),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_what_the_disk_says_becomes_an_error_of_the_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError], call: str
) -> None:
    job = store.job("j")
    job.chunks.put(b"x", mark=1)
    version = job.ledger.put("a", b"1", ABSENT)
    before = files(tmp_path)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        acts: list[Callable[[], object]] = [
            lambda: job.chunks.put_many([NOISE, b"y"], mark=1),
            lambda: job.ledger.put("a", b"2", version),
        ]
        for act in acts:
            with pytest.raises(kind, match=os.strerror(number)) as raised:
                act()
            assert type(raised.value) is kind
    assert files(tmp_path) == before
    assert job.ledger.put("a", b"2", version)


def test_every_flipped_byte_of_a_chunk_is_noticed(tmp_path: Path) -> None:
    store = open_store(f"dir:{tmp_path}/store?compress=never")
    chunks = store.job("j").chunks
    ref = chunks.put(NOISE[:500], mark=1)
    [path] = tmp_path.rglob(str(ref))
    for at in range(500):
        damaged = bytearray(NOISE[:500])
        damaged[at] ^= 1 << at % 8
        for bad in (damaged, NOISE[:at], NOISE[:500] + b"\0"):
            path.write_bytes(bad)
            with pytest.raises(ChunkCorrupt, match=str(ref)) as raised:
                chunks.get(ref)
            assert raised.value.ref == ref
    chunks.delete([ref])
    chunks.put(NOISE[:500], mark=1)
    assert chunks.get(ref) == NOISE[:500]
    store.close()


def test_a_record_that_is_none_is_refused(store: Store, tmp_path: Path) -> None:
    store.ledger.put("a", b"1", ABSENT)
    [path] = tmp_path.rglob("a")
    path.write_bytes(b"short")
    with pytest.raises(StoreError, match="is no record"):
        store.ledger.get("a")


@pytest.mark.parametrize("target", ["file", "file/below"])
def test_a_place_that_is_no_folder_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="Name a folder"):
        open_store(f"dir:{tmp_path / target}")


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    first = DirectoryStore(tmp_path)
    living = first._scratch.write(b"still being written")
    dead = tmp_path / "tmp" / "0123"
    dead.mkdir()
    (dead / "half").write_bytes(b"ha")
    second = DirectoryStore(tmp_path)
    assert living.exists()
    assert not dead.exists()
    first.close()
    second.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_lock_that_is_not_given_up_is_unavailable_and_a_dead_holders_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path).held(), pytest.raises(Unavailable, match="was locked by another process"), Lock(path, 0).held():
        pass
    holder = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); input()"
    command = [sys.executable, "-c", holder, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Unavailable), Lock(path, 0).held():
            pass
        process.kill()
    with Lock(path, 0).held():
        pass


def test_a_chunk_that_two_write_at_once_keeps_the_higher_mark(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second puts all of it between the first's looking and renaming."""
    first, second = store.job("j").chunks, store.job("j").chunks
    write = first._write  # type: ignore[attr-defined]

    def meanwhile(*arguments: object) -> None:
        second.put(b"x", mark=9)
        write(*arguments)

    monkeypatch.setattr(first, "_write", meanwhile)
    ref = first.put(b"x", mark=2)
    assert first.delete([ref], below=9) == 0
    assert first.get(ref) == b"x"
