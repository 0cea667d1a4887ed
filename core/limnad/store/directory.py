"""A store in a directory: for one machine, or for tests of what will run with Redis.

::

    PATH/lock                             held for milliseconds, when leftovers are cleaned up
    PATH/tmp/<random>/                    what a process is writing; locked while that process lives
    PATH/store/ledger/<key>               the store's own records: 16 bytes of version, then the value
    PATH/jobs/<job>/ledger/<key>          a job's records
    PATH/jobs/<job>/chunks/<digest>.<n>   a chunk; its time of modification, in seconds, is its mark
    PATH/jobs/<job>/logs/<log>/           see `directory_log`
    PATH/jobs/<job>/lock                  held while the job's records change or its chunks are marked or deleted

A file is written aside, synced, and renamed; then the folder is synced. So a file is whole whenever it is there, and
what was acknowledged is on the disk. A chunk is a file of its own: the many syncs of one put are made side by side,
which lets a journal take them together. Folders are flat, because today's file systems index them.

A file system that does not do `flock` between its machines (many network ones) must be used from one machine only.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from limnad.histogram import Histogram
from limnad.store.compression import Compression, Compressor, unpack
from limnad.store.directory_log import DirectoryLog
from limnad.store.errors import ChunkMissing, Conflict, StoreError
from limnad.store.files import Lock, Scratch, make_folder, read, sync_folder, translated
from limnad.store.interface import ABSENT, Bytes, ChunkRef, Durability, Guard, Record, Version, check_name, unescape
from limnad.store.windows import windows

_VERSION_BYTES: Final = 16
_WRITERS: Final = 16
"""Threads that write and sync at once; they wait for the disk, not for Python."""


class DirectoryStore:
    """See `limnad.store.Store`.

    Args:
        path: The folder; it is made.
        compression: When to compress chunks.

    Raises:
        StoreError: It cannot be made or written.
    """

    def __init__(self, path: str | os.PathLike[str], compression: Compression = Compression.AUTO) -> None:
        self._path = Path(path).absolute()
        self._compressor = Compressor(compression)
        self.durability = Durability(True, "each write is synced to the disk before it is acknowledged")
        self.where = self.describe()
        self.requests = Histogram()
        with translated(self.where):
            for part in (self._path, self._path / "jobs"):
                make_folder(part)
            self._scratch = Scratch(self._path / "tmp", Lock(self._path / "lock"))
        own = self._own = self._space(self._path / "store", self.where)
        self.ledger, self.chunks = own.ledger, own.chunks

    def job(self, name: str) -> DirectorySpace:
        """See `limnad.store.Store`."""
        return self._space(self._path / "jobs" / check_name("job's name", name), f"{self.where}, job {name}")

    def jobs(self) -> list[str]:
        """See `limnad.store.Store`."""
        with translated(self.where):
            return sorted(unescape(entry.name) for entry in os.scandir(self._path / "jobs") if entry.is_dir())

    def log(self, name: str) -> DirectoryLog:
        """See `limnad.store.Space`."""
        return self._own.log(name)

    def logs(self) -> list[str]:
        """See `limnad.store.Space`."""
        return self._own.logs()

    def describe(self) -> str:
        """See `limnad.store.Store`."""
        return f"dir:{self._path}"

    def close(self) -> None:
        """See `limnad.store.Store`."""
        self._scratch.close()

    def _space(self, folder: Path, where: str) -> DirectorySpace:
        return DirectorySpace(folder, where, self._scratch, self._compressor)


class DirectorySpace:
    """See `limnad.store.Space`."""

    def __init__(self, folder: Path, where: str, scratch: Scratch, compressor: Compressor) -> None:
        self.where = where
        lock = Lock(folder / "lock")
        self.ledger = DirectoryLedger(folder / "ledger", where, scratch, lock)
        self.chunks = DirectoryChunks(folder / "chunks", where, scratch, lock, compressor, self.ledger)
        self._logs, self._scratch = folder / "logs", scratch

    def log(self, name: str) -> DirectoryLog:
        """See `limnad.store.Space`."""
        folder = self._logs / check_name("log's name", name)
        return DirectoryLog(folder, f"{self.where}, log {name}", self._scratch, self.ledger.held)

    def logs(self) -> list[str]:
        """See `limnad.store.Space`."""
        with translated(self.where):
            names = [unescape(name) for name in _names(self._logs)]
        return sorted(name for name in names if self.log(name).exists)


class DirectoryLedger:
    """See `limnad.store.Ledger`."""

    def __init__(self, folder: Path, where: str, scratch: Scratch, lock: Lock) -> None:
        self._folder = folder
        self._where = where
        self._scratch = scratch
        self._lock = lock

    def get(self, key: str) -> Record | None:
        """See `limnad.store.Ledger`."""
        path = self._path(key)
        with translated(self._where):
            held = read(path)
        if held is None:
            return None
        if len(held) < _VERSION_BYTES:
            raise StoreError(f"{path} is no record: something else wrote there, or the disk is damaged")
        return Record(held[_VERSION_BYTES:], Version(held[:_VERSION_BYTES]))

    def put(self, key: str, value: Bytes, expected: Version, *, durable: bool = False) -> Version:
        """See `limnad.store.Ledger`."""
        del durable  # always
        path, own = self._path(key), Version(secrets.token_bytes(_VERSION_BYTES))
        with translated(self._where):
            make_folder(self._folder)
            with self._lock.held():
                self._compare(key, expected)
                self._scratch.write(own + bytes(value)).rename(path)
                sync_folder(self._folder)
        return own

    def delete(self, key: str, expected: Version, *, guard: Guard | None = None) -> None:
        """See `limnad.store.Ledger`."""
        path = self._path(key)
        if not self._folder.is_dir():
            return
        with translated(self._where), self.held(guard):
            held = self.get(key)
            if held is None:
                return
            if held.version != expected:
                raise Conflict.at(key, self._where)
            path.unlink()
            sync_folder(self._folder)

    def keys(self, prefix: str = "") -> list[str]:
        """See `limnad.store.Ledger`."""
        with translated(self._where):
            names = map(unescape, _names(self._folder))
        return sorted(name for name in names if name.startswith(prefix))

    @contextmanager
    def held(self, guard: Guard | None) -> Iterator[None]:
        """Neither records nor marks change within, nor had the guard's.

        Raises:
            Conflict: It had.
        """
        with self._lock.held():
            if guard is not None:
                self._compare(guard.key, guard.version)
            yield

    def _compare(self, key: str, expected: Version) -> None:
        held = self.get(key)
        if (held.version if held else ABSENT) != expected:
            raise Conflict.at(key, self._where)

    def _path(self, key: str) -> Path:
        return self._folder / check_name("key", key)


class DirectoryChunks:
    """See `limnad.store.Chunks`."""

    def __init__(
        self,
        folder: Path,
        where: str,
        scratch: Scratch,
        lock: Lock,
        compressor: Compressor,
        ledger: DirectoryLedger,
    ) -> None:
        self._folder = folder
        self._where = where
        self._scratch = scratch
        self._lock = lock
        self._ledger = ledger
        self._compressor = compressor

    def put(self, data: Bytes, *, mark: int) -> ChunkRef:
        """See `limnad.store.Chunks`."""
        return self.put_many([data], mark=mark)[0]

    def put_many(self, datas: Iterable[Bytes], *, mark: int) -> list[ChunkRef]:
        """See `limnad.store.Chunks`."""
        refs: list[ChunkRef] = []
        for window in windows(datas, lambda data: memoryview(data).nbytes):
            refs += self._put_window(window, mark)
        return refs

    def _put_window(self, datas: Sequence[Bytes], mark: int) -> list[ChunkRef]:
        refs = [ChunkRef.of(data) for data in datas]
        there = self.touch(refs, mark=mark)
        wanted = {ref: data for ref, data in zip(refs, datas, strict=True) if ref not in there}
        if wanted:
            with translated(self._where):
                make_folder(self._folder)
                self._write(wanted, mark)
        return refs

    def _write(self, wanted: dict[ChunkRef, Bytes], mark: int) -> None:
        packed = self._compressor.pack(list(wanted.values()))
        began_s = time.perf_counter()
        files: list[Path] = []
        try:
            with ThreadPoolExecutor(min(_WRITERS, len(packed))) as writers:
                writing = [writers.submit(self._scratch.write, data, mark) for data in packed]
            errors = [problem for done in writing if (problem := done.exception())]
            files += [done.result() for done in writing if not done.exception()]
            if errors:
                raise errors[0]
            with self._lock.held():
                for ref, file in zip(wanted, files, strict=True):
                    # Somebody else may have put it meanwhile, with a higher mark.
                    if not self._raise_mark(ref, mark):
                        file.rename(self._path(ref))
            sync_folder(self._folder)
        finally:
            for file in files:
                file.unlink(missing_ok=True)
        self._compressor.stored(sum(memoryview(data).nbytes for data in packed), time.perf_counter() - began_s)

    def touch(self, refs: Iterable[ChunkRef], *, mark: int) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks`."""
        there: set[ChunkRef] = set()
        if not self._folder.is_dir():
            return there
        with translated(self._where):
            for window in windows(refs):
                with self._lock.held():
                    there |= {ref for ref in window if self._raise_mark(ref, mark)}
            # Who wrote them may have died before it came to this.
            sync_folder(self._folder)
        return there

    def _raise_mark(self, ref: ChunkRef, mark: int) -> bool:
        """Whether it is there; with the lock held."""
        path = self._path(ref)
        try:
            if path.stat().st_mtime < mark:
                os.utime(path, (mark, mark))
        except FileNotFoundError:
            return False
        return True

    def get(self, ref: ChunkRef) -> bytes:
        """See `limnad.store.Chunks`."""
        with translated(self._where):
            stored = read(self._path(ref))
        if stored is None:
            raise ChunkMissing(ref, self._where)
        return unpack(ref, stored, self._where)

    def get_many(self, refs: Iterable[ChunkRef]) -> Iterator[bytes]:
        """See `limnad.store.Chunks`."""
        return map(self.get, refs)

    def has(self, refs: Iterable[ChunkRef]) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks`."""
        with translated(self._where):
            return {ref for ref in refs if self._path(ref).exists()}

    def delete(self, refs: Iterable[ChunkRef], *, below: int | None = None, guard: Guard | None = None) -> int:
        """See `limnad.store.Chunks`."""
        if not self._folder.is_dir():
            return 0
        with translated(self._where):
            count = 0
            for window in windows(refs):
                with self._ledger.held(guard):
                    count += sum(map(partial(self._delete, below=below), window))
            sync_folder(self._folder)
        return count

    def _delete(self, ref: ChunkRef, below: int | None) -> bool:
        path = self._path(ref)
        try:
            if below is not None and path.stat().st_mtime >= below:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def refs(self) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks`."""
        with translated(self._where):
            return set(map(ChunkRef.parse, _names(self._folder)))

    def _path(self, ref: ChunkRef) -> Path:
        return self._folder / str(ref)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except FileNotFoundError:
        return []
