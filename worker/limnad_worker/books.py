"""What a cluster keeps in its store beside checkpoints: the registry and the archives, all on one thread."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from limnad.cluster.registry import JobRecord
from limnad.store import ABSENT, ChunkRef, Conflict, Store, StoreError, begin_erasing, erase, open_store
from limnad_worker.registry import Registry

T = TypeVar("T")

ARCHIVE = "archive/"
"""Begins the keys of the archives' records, which name their chunks."""

PIECE_BYTES = 8 << 20
"""Of an archive, in one chunk."""

MARK = 1
"""Of an archive's chunks: no checkpoint shares them."""


class Books:
    """A cluster's store, as its leader uses it.

    Args:
        url: See `limnad.store.open_store`.
        uid: Of the leader's process.
    """

    def __init__(self, url: str, uid: str) -> None:
        self.url = url
        self._uid = uid
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._store: Store | None = None
        self._registry: Registry | None = None

    async def _call(self, run: Callable[[Registry, Store], T]) -> T:
        def called() -> T:
            assert self._registry is not None
            assert self._store is not None
            return run(self._registry, self._store)

        return await asyncio.get_running_loop().run_in_executor(self._thread, called)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def take_lead(self) -> tuple[int, list[JobRecord]]:
        """Opens the store and begins a new term; returns it, and all jobs.

        Raises:
            StoreError: The store cannot be reached, or refuses us.
        """

        def run() -> tuple[int, list[JobRecord]]:
            if self._store is None:
                self._store = open_store(self.url)
            registry = self._registry = Registry(self._store, self._uid)
            jobs = registry.take_lead()
            return registry.term, jobs

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def check(self) -> None:
        """See `Registry.check`."""
        await self._call(lambda registry, _: registry.check())

    async def give_number(self) -> int:
        """See `Registry.give_number`."""
        return await self._call(lambda registry, _: registry.give_number())

    async def save(self, record: JobRecord) -> None:
        """See `Registry.save`."""
        await self._call(lambda registry, _: registry.save(record))

    async def withdraw(self, job: str) -> None:
        """Deletes a job's record alone, if there is one: see `Registry.forget`."""
        await self._call(lambda registry, _: registry.forget(job))

    async def forget(self, record: JobRecord) -> None:
        """Deletes a job that has ended, and its checkpoints if they are here. Who dies at it leaves it to a later call.

        Until its checkpoints are gone the registry knows that they are to go: else nobody else would see to it, and its
        name could not be had any more.
        """

        def run(registry: Registry, store: Store) -> None:
            space = store.job(record.space) if record.store == self.url and record.space else None
            guard = begin_erasing(space) if space is not None else None
            # When this is written, the job was this leader's to delete after it had begun: see `limnad.store.erasing`.
            registry.save(msgspec.structs.replace(record, gone=True))
            if space is not None and guard is not None:
                erase(space, guard)
            registry.forget(record.job)

        await self._call(run)

    # -- archives ------------------------------------------------------------------------------------------------------

    async def put_archive(self, digest: str, file: Path) -> None:
        """Stores an archive, if it is not there already."""

        def run(_: Registry, store: Store) -> None:
            with file.open("rb") as data:
                refs = [store.chunks.put(piece, mark=MARK) for piece in _pieces(data)]
            with contextlib.suppress(Conflict):  # It is there: the same content has the same chunks.
                store.ledger.put(f"{ARCHIVE}{digest}", json.dumps([str(ref) for ref in refs]).encode(), ABSENT)

        await self._call(run)

    async def get_archive(self, digest: str, file: Path) -> bool:
        """Writes an archive into a file; False: there is no such archive.

        Raises:
            StoreError: It cannot be read, or is damaged.
        """

        def run(_: Registry, store: Store) -> bool:
            held = store.ledger.get(f"{ARCHIVE}{digest}")
            if held is None:
                return False
            actual = hashlib.sha256()
            with file.open("wb") as data:
                for piece in store.chunks.get_many(map(ChunkRef.parse, json.loads(held.value))):
                    actual.update(piece)
                    data.write(piece)
            if actual.hexdigest() != digest:
                raise StoreError(f"the archive {digest} in {store.describe()} is damaged: submit the job again")
            return True

        return await self._call(run)

    async def archives(self) -> set[str]:
        """The digests of all archives."""
        return await self._call(lambda _, store: {key.removeprefix(ARCHIVE) for key in store.ledger.keys(ARCHIVE)})

    async def forget_archive(self, digest: str) -> None:
        """Deletes an archive that no job is made from any more, but for the chunks that another one names, too."""

        def run(registry: Registry, store: Store) -> None:
            lead = registry.lead()
            named: dict[str, set[str]] = {}
            for key in store.ledger.keys(ARCHIVE):
                held = store.ledger.get(key)
                named[key] = set(json.loads(held.value)) if held is not None else set()
            own = named.pop(f"{ARCHIVE}{digest}", set())
            held = store.ledger.get(f"{ARCHIVE}{digest}")
            if held is not None:
                store.ledger.delete(f"{ARCHIVE}{digest}", held.version, guard=lead)
            store.chunks.delete(map(ChunkRef.parse, own.difference(*named.values())), guard=lead)

        await self._call(run)

    async def close(self) -> None:
        """Hangs up."""
        if self._store is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)


def _pieces(data: BinaryIO) -> Iterator[bytes]:
    while piece := data.read(PIECE_BYTES):
        yield piece
