"""The leader's side of the store: generations, manifests, retention, logs.

Its calls block: they run on one other thread, and those of each log on one of its own, so that no push waits for a
checkpoint. What is asked of one log happens in the order in which it was asked. The store is opened by the first call:
a job has one also while that cannot be reached.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from limnad.cluster.cuts import Standings, passed
from limnad.cluster.feeding import Push
from limnad.cluster.records import CheckpointRecord, PartError
from limnad.histogram import Histogram
from limnad.store import (
    ABSENT,
    Checkpoints,
    ChunkRef,
    Conflict,
    Guard,
    Identity,
    Last,
    Log,
    LogState,
    New,
    Space,
    Store,
    Witness,
    open_store,
    retain,
)
from limnad.store.checkpoints import State
from limnad.store.errors import StoreError
from limnad.store.windows import windows
from limnad_proto.v1 import jobs_pb2

T = TypeVar("T")

KEEP = 3
"""How many checkpoints are kept by default: if one cannot be read, there is another."""

MINTED = "generation/"
"""Begins the keys of the records by which a generation belongs to one leader only."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A generation of one leader's own.

    Attributes:
        generation: Its number, above all that there were.
        checkpoints: The complete ones, newest last.
    """

    generation: int
    checkpoints: tuple[int, ...]


class Vault:
    """One job's store, as its leader uses it.

    Args:
        url: See `limnad.store.open_store`.
        space: The job's name there.
        keep: How many checkpoints are kept.
    """

    def __init__(self, url: str, space: str, keep: int) -> None:
        self.url, self.space, self.keep = url, space, keep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._store: Store | None = None
        self._logs: dict[str, tuple[Log, ThreadPoolExecutor]] = {}
        self._seen: Witness | None = None
        self._minted: Guard | None = None

    async def open(self) -> None:
        """Opens the store, unless that was done. So does any other call; this one does nothing else.

        Raises:
            StoreError: It cannot be opened; that may be tried again.
        """
        if self._store is None:
            await self._call(lambda: None)

    @cached_property
    def _job(self) -> Space:
        assert self._store is not None
        return self._store.job(self.space)

    @cached_property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self._job)

    async def _call(self, run: Callable[[], T]) -> T:
        def called() -> T:
            if self._store is None:
                self._store = open_store(self.url)
            return self._explained(run)

        return await asyncio.get_running_loop().run_in_executor(self._thread, called)

    async def _call_log(self, name: str, run: Callable[[Log], T]) -> T:
        await self.open()
        if name not in self._logs:
            self._logs[name] = (self._job.log(name), ThreadPoolExecutor(max_workers=1, thread_name_prefix="log"))
        log, thread = self._logs[name]
        return await asyncio.get_running_loop().run_in_executor(thread, self._explained, lambda: run(log))

    def _explained(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except Conflict:
            if self._seen is not None:
                Identity(self._job).check(self._seen)  # A store that has lost what it knew is worse than a rival.
            raise

    @property
    def identity(self) -> str:
        """Of the job, for as long as the store remembers it; there is one when a generation has begun."""
        assert self._seen is not None
        return self._seen.store_id

    async def in_use(self) -> bool:
        """Whether there are checkpoints, or rows that were pushed."""

        def look() -> bool:
            return bool(Checkpoints(self._job).numbers()) or any(self._job.log(name).end() for name in self._job.logs())

        return await self._call(look)

    async def begin_generation(self) -> Begun:
        """Takes the job over: whatever an older generation still does counts for nothing.

        Raises:
            LostState: The store is not the one it was, or has forgotten what it had promised.
            Conflict: Another leader was faster.
            StoreError: The store cannot be reached.
        """
        return await self._call(self._begin_generation)

    def _begin_generation(self) -> Begun:
        self._seen = Identity(self._job).rise(self._seen)
        minted = [int(key.removeprefix(MINTED)) for key in self._job.ledger.keys(MINTED)]
        # One that was minted and did not take over any more, because its leader died, is never used again.
        generation = max([*minted, Checkpoints(self._job).state().generation]) + 1
        # The number alone would not do: two leaders may come to the same one.
        key = f"{MINTED}{generation}"
        self._minted = Guard(key, self._job.ledger.put(key, secrets.token_bytes(16), ABSENT))
        self._checkpoints = Checkpoints(self._job, generation)
        state = self._checkpoints.take_over()
        for older in minted:
            record = self._job.ledger.get(f"{MINTED}{older}")
            if record is not None:
                self._job.ledger.delete(f"{MINTED}{older}", record.version)
        return Begun(generation, state.complete)

    async def begin(self) -> int:
        """A new checkpoint's number.

        Raises:
            LostState: The store has forgotten what it had promised.
        """

        def run() -> int:
            assert self._seen is not None
            Identity(self._job).check(self._seen)
            return self._checkpoints.begin()

        return await self._call(run)

    async def commit(self, number: int, record: CheckpointRecord) -> None:
        """Makes the checkpoint: the one moment from which on it counts."""

        def run() -> None:
            chunks = [ChunkRef.parse(name) for name in sorted(record.chunks())]
            assert self._store is not None
            # Sinks show what a checkpoint covers: it must not be forgotten by a store that can help it.
            self._checkpoints.commit(number, chunks, record.encode(), durable=self._store.durability.sure)
            self._seen = Identity(self._job).rise(self._seen)

        await self._call(run)

    @property
    def requests(self) -> Histogram:
        """How long each request to the store's server took."""
        return self._store.requests if self._store is not None else Histogram()

    async def retain(self, pinned: Collection[int]) -> tuple[int, ...]:
        """Deletes what only older checkpoints needed that are not pinned; those that are left."""
        return await self._call(
            lambda: retain(self._checkpoints, keep=self.keep, pinned=pinned, guard=self._minted).kept
        )

    async def abandon(self, number: int) -> None:
        """Gives up a checkpoint that is being written."""
        await self._call(lambda: self._checkpoints.abandon(number))

    async def numbers(self) -> tuple[int, ...]:
        """The complete checkpoints, newest last."""
        return await self._call(lambda: Checkpoints(self._job).numbers())

    async def roll_back(self, number: int) -> tuple[int, ...]:
        """Forgets all checkpoints that are newer than this one, none if it is gone itself; those that are left."""

        def older(state: State) -> State:
            if number not in state.complete:
                return state
            return replace(state, complete=tuple(each for each in state.complete if each <= number))

        return await self._call(lambda: self._checkpoints.change(older).complete)

    async def read(self, number: int) -> CheckpointRecord:
        """What a checkpoint says.

        Raises:
            StoreError: It cannot be read.
            PartError: It is damaged.
        """
        return await self._call(lambda: CheckpointRecord.decode(self._checkpoints.manifest(number).body))

    async def infos(self) -> list[jobs_pb2.CheckpointInfo]:
        """What a client is told of all checkpoints, the newest first.

        Raises:
            StoreError: One cannot be read.
        """
        manifests = await self._call(lambda: list(Checkpoints(self._job).manifests()))
        try:
            return [_info(manifest.number, CheckpointRecord.decode(manifest.body)) for manifest in reversed(manifests)]
        except PartError as error:
            raise StoreError(str(error)) from None

    async def put(self, datas: Sequence[bytes], mark: int) -> list[str]:
        """Stores chunks for a checkpoint that is being written."""
        return await self._call(lambda: [str(ref) for ref in self._job.chunks.put_many(datas, mark=mark)])

    async def touch(self, names: set[str], mark: int) -> set[str]:
        """Those of these chunks that are there; they will stay for the checkpoint."""
        refs = set(map(ChunkRef.parse, names))
        return {str(ref) for ref in await self._call(lambda: self._job.chunks.touch(refs, mark=mark))}

    async def get(self, names: Sequence[str]) -> list[bytes]:
        """The contents of chunks."""
        return await self._call(lambda: list(self._job.chunks.get_many(map(ChunkRef.parse, names))))

    # -- logs ----------------------------------------------------------------------------------------------------------

    async def claim_log(self, name: str, generation: int) -> LogState:
        """See `limnad.store.Log`."""
        return await self._call_log(name, lambda log: log.claim(generation))

    async def append(self, name: str, pushes: Sequence[Push], generation: int) -> list[int]:
        """See `limnad.store.Log.append_many`."""
        entries = [New(push.producer, push.sequence, push.data) for push in pushes]
        return await self._call_log(name, lambda log: log.append_many(entries, generation=generation))

    async def read_log(self, name: str, start: int) -> list[tuple[int, bytes]]:
        """Some entries from an offset on: as many as fit into memory well, at least one if there is one."""
        return await self._call_log(
            name, lambda log: next(windows(log.read(start), lambda entry: len(entry[1])), list[tuple[int, bytes]]())
        )

    async def last_sequence(self, name: str, producer: str) -> int:
        """See `limnad.store.Log`."""
        return await self._call_log(name, lambda log: log.last_sequence(producer))

    async def trim_log(self, name: str, below: int) -> None:
        """See `limnad.store.Log`."""
        await self._call_log(name, lambda log: log.trim(below))

    async def forget_producers(
        self, name: str, producers: Mapping[str, tuple[int, int]], generation: int
    ) -> dict[str, tuple[int, int]]:
        """See `limnad.store.Log.forget`; producers with number and offset of their newest entries."""
        last = {producer: Last(*each) for producer, each in producers.items()}
        gone = await self._call_log(name, lambda log: log.forget(last, generation=generation))
        return {producer: producers[producer] for producer in gone}

    async def logs(self) -> list[str]:
        """The inputs that have a log."""
        return await self._call(self._job.logs)

    async def trim_cuts(self, name: str, kept: Sequence[Standings]) -> None:
        """Trims the log of a timed input as far as the checkpoints that are kept allow."""

        def trim(log: Log) -> None:
            below = passed(name, log.read(log.first()), kept)
            if below is not None:
                log.trim(below)

        await self._call_log(name, trim)

    async def close(self) -> None:
        """Hangs up."""
        for _, thread in self._logs.values():
            thread.shutdown(wait=False)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()


def _info(number: int, record: CheckpointRecord) -> jobs_pb2.CheckpointInfo:
    return jobs_pb2.CheckpointInfo(
        checkpoint=number,
        made_s=record.made_s,
        epoch=record.epoch,
        workers=len(record.parts),
        generation=record.generation,
        bytes=sum(blob.size for part in record.parts for blob in part.blobs()),
    )


__all__ = ["KEEP", "Begun", "Conflict", "StoreError", "Vault"]
