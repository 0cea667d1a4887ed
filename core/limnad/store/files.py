"""Files that are there whole or not at all, and locks between processes."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from limnad.store.errors import Full, StoreError, Unavailable
from limnad.store.interface import Bytes

LOCK_WAIT_S: Final = 30.0
"""How long a lock is waited for. It is held for milliseconds, so its holder was stopped, not slow."""

_LOCK_RETRY_S: Final = 0.002
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED: Final = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns what the operating system says into an error of the store."""
    try:
        yield
    except OSError as error:
        what = f"{where}: {error.strerror or error}"
        if error.errno in _FULL:
            raise Full(f"{what}. Nothing was half-written. Free some space, or keep fewer checkpoints") from error
        if error.errno in _REFUSED:
            raise StoreError(f"{what}. Name a folder that this user may write") from error
        raise Unavailable(f"{what}. Look after the disk; the call may be made again") from error


class Lock:
    """A lock among threads and processes of one machine, held by an open file: the kernel ends it with its process.

    Args:
        path: The file; it is made, and is never deleted.
        wait_s: How long to wait.
    """

    def __init__(self, path: Path, wait_s: float = LOCK_WAIT_S) -> None:
        self._path = path
        self._wait_s = wait_s

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else holds it within.

        Raises:
            Unavailable: Somebody else did for all that time.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._acquire(handle)
            yield
        finally:
            os.close(handle)

    def _acquire(self, handle: int) -> None:
        deadline_s = time.monotonic() + self._wait_s
        while not try_lock(handle):
            if time.monotonic() >= deadline_s:
                raise Unavailable(
                    f"{self._path} was locked by another process for {self._wait_s:g} s: see which one holds it "
                    f"(`fuser {self._path}`) and whether it was stopped"
                )
            time.sleep(_LOCK_RETRY_S)


def try_lock(handle: int) -> bool:
    """Locks an open file or folder, if nobody else has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Scratch:
    """A folder of this process for files that are being written. What a crashed process left is removed.

    It is locked while its process lives; whoever opens the store next removes those that are not.

    Args:
        parent: Where such folders are; on the same file system as where the files go.
        lock: Held while folders are made and removed, so that none is seen before it is locked.
    """

    def __init__(self, parent: Path, lock: Lock) -> None:
        self._handle: int | None = None
        parent.mkdir(exist_ok=True)
        with lock.held():
            _remove_leftovers(parent)
            self.folder = parent / secrets.token_hex(8)
            self.folder.mkdir()
            self._handle = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
            assert try_lock(self._handle), "nobody knows this folder yet"

    def write(self, data: Bytes, mark: int | None = None) -> Path:
        """A new file with these bytes, on the disk when this returns; leaves nothing if it fails.

        Args:
            data: The bytes.
            mark: The file's time of modification, if that is to say something.
        """
        path = self.folder / secrets.token_hex(16)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            try:
                left = memoryview(data).cast("B")
                while left:
                    left = left[os.write(handle, left) :]
                if mark is not None:
                    os.utime(handle, (mark, mark))
                os.fsync(handle)
            finally:
                os.close(handle)
        except BaseException:
            path.unlink()
            raise
        return path

    def close(self) -> None:
        """Removes the folder; may be called twice."""
        if self._handle is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._handle)
            self._handle = None


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.iterdir():
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if try_lock(handle):
                shutil.rmtree(folder)
        finally:
            os.close(handle)


def sync_folder(path: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, and syncs their names."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    sync_folder(path.parent)


def read(path: Path) -> bytes | None:
    """All bytes of a file; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
