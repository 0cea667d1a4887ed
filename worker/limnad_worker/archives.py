"""Archives at the leader: taken from clients, kept in the store, given to engines; and how an engine gets one.

A leader keeps each as a file in its cache, and in the store if the cluster has one. An engine fetches what its machine
does not have yet, and unpacks it into the machine's cache: the first engine for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from pathlib import Path

import grpc

from limnad.cluster.registry import Deposed
from limnad.errors import ClusterError
from limnad.store import StoreError
from limnad_proto.v1 import control_pb2, control_pb2_grpc
from limnad_worker.books import Books
from limnad_worker.unpacking import MAX_ARCHIVE_BYTES, BadArchive, check, occupy, tidy, turn, unpack

PIECE_BYTES = 1 << 20
"""Of an archive, in one message."""

UNUSED_S = 3600.0
"""How long an archive stays that no job is made from: it is about to be submitted, or never will be; or its job was
replaced by one of a newer archive."""

LOOK_S = 300.0
"""How often it is looked which these are."""

FETCH_S = 300.0
"""How long an engine may take to fetch its archive; a second is usual."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Archives:
    """The leader's.

    Args:
        folder: Its cache.
        books: The cluster's store, if it has one.

    Attributes:
        awaited: Those that were received, and of which no job is made yet.
    """

    def __init__(self, folder: Path, books: Books | None) -> None:
        self.awaited: set[str] = set()
        self._folder = folder
        self._books = books
        self._unused = Unused()

    async def receive(self, pieces: AsyncIterator[bytes]) -> str:
        """Keeps an archive; its SHA-256, when it is stored.

        Raises:
            BadArchive: It is refused.
            StoreError: It cannot be stored.
        """
        name = self._new_file()
        actual, size = hashlib.sha256(), 0
        try:
            with open(name, "wb") as file:  # noqa: ASYNC230 - pieces are small, and a disk is no network
                async for piece in pieces:
                    size += len(piece)
                    if size > MAX_ARCHIVE_BYTES:
                        raise BadArchive(
                            f"the archive has more than {MAX_ARCHIVE_BYTES:,} bytes: data belongs where a source reads "
                            "it, not into the archive"
                        )
                    actual.update(piece)
                    file.write(piece)
            await asyncio.to_thread(check, name)
            digest = actual.hexdigest()
            self.awaited.add(digest)
            if self._books is not None:
                await self._books.put_archive(digest, name)
            os.rename(name, self._file(digest))  # noqa: PTH104 - likewise
            self._unused.uploaded(digest)
        finally:
            _remove(name)
        return digest

    async def has(self, digest: str) -> bool:
        """Whether it is here, or in the store."""
        return await self.find(digest) is not None

    async def find(self, digest: str) -> Path | None:
        """The zip file; None: there is none."""
        if not _DIGEST.fullmatch(digest):
            return None
        file = self._file(digest)
        if file.exists():
            return file
        if self._books is None:
            return None
        name = self._new_file()
        try:
            if not await self._books.get_archive(digest, name):
                return None
            os.rename(name, file)  # noqa: PTH104 - see `receive`
        finally:
            _remove(name)
        return file

    async def names(self) -> set[str]:
        """Those that are here, or in the store.

        Raises:
            StoreError: It cannot be asked.
        """
        here = {file.stem for file in self._folder.glob("*.zip")}
        return here if self._books is None else here | await self._books.archives()

    async def keep_tidy(self, used: Callable[[], Awaitable[Collection[str]]]) -> None:
        """Forgets those that no job has been made from for long; never returns.

        Args:
            used: Those that jobs are made from; may raise `StoreError` if that is not known.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(StoreError, Deposed):  # Then the next look finds them, or the next leader.
                for digest in self._unused.look(await self.names(), await used(), time.monotonic()):
                    self.awaited.discard(digest)
                    await self.forget(digest)

    async def forget(self, digest: str) -> None:
        """No job is made from it any more, unless somebody is just about to."""
        if digest in self.awaited:
            return
        self._file(digest).unlink(missing_ok=True)
        if self._books is not None:
            await self._books.forget_archive(digest)

    def _new_file(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        os.close(descriptor)
        return Path(name)

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.zip"


class Unused:
    """Since when no job is made from which archives.

    >>> unused = Unused()
    >>> unused.look({"a", "b"}, {"b"}, now_s=0.0), unused.look({"a", "b"}, {"b"}, now_s=UNUSED_S)
    ([], ['a'])
    """

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def uploaded(self, digest: str) -> None:
        """Somebody is about to submit a job of it."""
        self._since_s.pop(digest, None)

    def look(self, there: Iterable[str], used: Collection[str], now_s: float) -> list[str]:
        """Those that have been without a job for long.

        Args:
            there: All that there are.
            used: Those that jobs are made from.
            now_s: On a clock that never goes back.
        """
        self._since_s = {digest: self._since_s.get(digest, now_s) for digest in there if digest not in used}
        return sorted(digest for digest, since_s in self._since_s.items() if now_s - since_s >= UNUSED_S)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)


def read_pieces(file: Path) -> Iterator[bytes]:
    """A file in pieces."""
    with file.open("rb") as data:
        while piece := data.read(PIECE_BYTES):
            yield piece


async def fetch(leader: grpc.aio.Channel, token: str, digest: str, cache: Path) -> Path:
    """The folder of an archive, unpacked; for an engine.

    Args:
        leader: A channel to it.
        token: The engine's.
        digest: Of the archive.
        cache: The machine's.

    Raises:
        BadArchive: It is refused.
        ClusterError: It did not come.
    """
    folder = cache / digest
    with turn(cache, digest):
        if not folder.is_dir():
            await _fetch(leader, token, digest, cache)
        occupy(folder)
    tidy(cache)
    return folder


async def _fetch(leader: grpc.aio.Channel, token: str, digest: str, cache: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=cache) as file:
        actual = hashlib.sha256()
        stub = control_pb2_grpc.ControlStub(leader)
        request = control_pb2.FetchArchiveRequest(token=token, archive=digest)
        try:
            async for piece in stub.FetchArchive(request, timeout=FETCH_S):
                actual.update(piece.data)
                file.write(piece.data)
        except grpc.RpcError as error:
            raise ClusterError(f"the job's archive did not come from the leader: {error}") from None
        file.flush()
        if actual.hexdigest() != digest:
            raise ClusterError("the job's archive came damaged from the leader")
        unpack(Path(file.name), cache, digest)
