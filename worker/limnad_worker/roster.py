"""The jobs that a leader knows, and what the registry has of them.

What a client was told is in the registry before it was told. What has become of a job since is written as soon as the
store takes it, in whatever order the news came: always as the job is then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from limnad.cluster.registry import Deposed, Fate, forgotten
from limnad.store import StoreError, Unavailable
from limnad_proto.v1 import jobs_pb2
from limnad_worker import steering
from limnad_worker.archives import Archives
from limnad_worker.books import Books
from limnad_worker.entries import Entry
from limnad_worker.feeding import Refused
from limnad_worker.job import Job

STORE_RETRY_S = 1.0
"""How often a store that is away is tried again."""


class Roster:
    """See above.

    Args:
        books: The cluster's store; None: the leader's memory.
        archives: Where jobs' files are.
        keep: Runs something until the agent stops.
        deposed: Set when another leader has taken over.

    Attributes:
        entries: By name.
        going: The names of jobs that are being deleted since before this leader: nobody else may have them yet.
    """

    def __init__(
        self,
        books: Books | None,
        archives: Archives,
        keep: Callable[[Coroutine[Any, Any, None]], None],
        deposed: asyncio.Event,
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self.going: set[str] = set()
        self._requests: dict[str, str] = {}
        self._books = books
        self._archives = archives
        self._keep = keep
        self._deposed = deposed
        self._saving = asyncio.Lock()

    # -- who is there --------------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        entries = sorted(self.entries.values(), key=lambda entry: -entry.number)
        return [entry.job for entry in entries]

    def know(self, request: jobs_pb2.SubmitRequest, job: str) -> None:
        """That request has made that job: it may be made again."""
        if request.request_id:
            self._requests[request.request_id] = job

    def known(self, request: jobs_pb2.SubmitRequest) -> str | None:
        """The name of the job that an earlier request of that id has made; None: there was none."""
        return self._requests.get(request.request_id)

    def add(self, entry: Entry) -> None:
        """A job is there. What becomes of it will be in the registry."""
        self.entries[entry.job.name] = entry
        self.know(entry.job.request, entry.job.name)
        entry.job.on_change = lambda: self._keep(self._save_at_last(entry))

    def remove(self, entry: Entry) -> None:
        """It is not there, and never was."""
        del self.entries[entry.job.name]
        self._requests.pop(entry.job.request.request_id, None)

    # -- what the registry has of them ---------------------------------------------------------------------------------

    async def settle(self, job: Job) -> None:
        """Returns when what became of a job is in the registry."""
        await self._save_at_last(self.entries[job.name])

    async def _save_at_last(self, entry: Entry) -> None:
        while True:
            try:
                await self.save(entry)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    async def save(self, entry: Entry) -> None:
        """Writes what became of a job, unless the registry has it.

        Raises:
            StoreError: Whether it has it now is not known.
        """
        async with self._saving:
            record = entry.record()
            if record == entry.saved:
                return
            if self._books is not None:
                await self._leading(self._books.save(record))
                if entry.saved is None:  # A leader that comes now finds the job; one that came before does not.
                    await self._leading(self._books.check())
            entry.saved = record
        if record.fate is Fate.ENDED:
            await self._forget_old()
            steering.let_go_of_outputs(entry.job, self.jobs)

    async def _leading(self, work: Awaitable[None]) -> None:
        """Does what only a leader may.

        Raises:
            Unavailable: Another one has taken over.
            StoreError: See `Books`.
        """
        try:
            await work
        except Deposed as error:
            self._deposed.set()
            raise Unavailable(f"{error}: ask it") from None

    # -- who is forgotten ----------------------------------------------------------------------------------------------

    async def delete(self, job: Job) -> None:
        """Forgets a job that has ended, and its checkpoints.

        Raises:
            Refused: It has not ended.
            StoreError: Its store cannot be reached.
        """
        if not job.state.ended:
            raise Refused(f"the job {job.name} is {job.state.value}: cancel or drain it first")
        await self.settle(job)
        async with job.steering, self._saving:
            entry = self.entries.get(job.name)
            if entry is not None and job.state.ended:  # Else it was restored, or forgotten, meanwhile.
                await self._forget(entry)

    def finish_deletion(self, entry: Entry) -> None:
        """Goes on with what an earlier leader has begun; until that is done there is no other job of that name."""
        self.know(entry.job.request, entry.job.name)
        self.going.add(entry.job.name)
        self._keep(self._forget_at_last(entry))

    async def _forget_at_last(self, entry: Entry) -> None:
        while entry.job.name in self.going:
            with contextlib.suppress(StoreError):
                async with self._saving:
                    await self._forget(entry)
                self.going.discard(entry.job.name)
                break
            await asyncio.sleep(STORE_RETRY_S)

    async def _forget_old(self) -> None:
        async with self._saving:
            # One that is being restored has ended, as far as the registry knows.
            records = [each.saved for each in self.entries.values() if each.job.state.ended and each.saved is not None]
            for entry in [self.entries[record.job] for record in forgotten(records)]:
                if entry.job.state.ended and not entry.job.steering.locked():
                    async with entry.job.steering:
                        await self._forget(entry)

    async def _forget(self, entry: Entry) -> None:
        request = entry.job.request
        if self._books is not None and entry.saved is not None:
            await self._leading(self._books.forget(entry.saved))
        self.entries.pop(entry.job.name, None)
        self._requests.pop(request.request_id, None)
        if request.archive and request.archive not in self.archives_in_use:
            await self._leading(self._archives.forget(request.archive))

    @property
    def archives_in_use(self) -> set[str]:
        """Those that a job is made from."""
        return {entry.job.request.archive for entry in self.entries.values()}
