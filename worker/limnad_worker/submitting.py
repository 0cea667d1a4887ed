"""How a request becomes a job: which name it gets, which store, and that it is in the registry before it begins."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import PurePosixPath

from limnad.cluster.registry import Deposed, job_name
from limnad.store import StoreError
from limnad.store.opening import parse
from limnad_proto.v1 import jobs_pb2
from limnad_worker.archives import Archives
from limnad_worker.books import Books
from limnad_worker.entries import AskAgain, Entry
from limnad_worker.feeding import Refused
from limnad_worker.hosts import Hosts
from limnad_worker.job import Job
from limnad_worker.roster import STORE_RETRY_S, Roster
from limnad_worker.tracing import JobTrace, from_environment
from limnad_worker.unpacking import safe_path
from limnad_worker.vault import KEEP, Vault


class Submitting:
    """Takes one request after the other.

    Args:
        roster: The jobs that there are.
        books: The cluster's store; None: the leader's memory.
        archives: Where jobs' files are.
        hosts: Where engines come from.
    """

    def __init__(self, roster: Roster, books: Books | None, archives: Archives, hosts: Hosts) -> None:
        self._roster = roster
        self._books = books
        self._archives = archives
        self._hosts = hosts
        self._tracer = from_environment()
        self._one_by_one = asyncio.Lock()

    async def submit(self, request: jobs_pb2.SubmitRequest, traceparent: str) -> Job:
        """See `Leader.submit`."""
        roster = self._roster
        async with self._one_by_one:
            known = roster.known(request)
            if known is not None and known in roster.going:
                raise AskAgain.going(known)
            if known is not None and known in roster.entries:
                entry = roster.entries[known]
                if entry.job.request != request:
                    raise Refused(f"the request id {request.request_id!r} belongs to another request, of job {known}")
                return entry.job
            entry = await self._admit(request, traceparent)
            before = roster.entries.get(entry.job.name)
            roster.add(entry)
            self._archives.awaited.discard(request.archive)
            try:
                await roster.save(entry)
            except StoreError:
                roster.remove(entry)
                if before is not None:
                    roster.add(before)
                self._hosts.keep(self._withdraw(entry.job.name))
                raise
        self._hosts.keep(entry.job.begin())
        return entry.job

    async def _admit(self, request: jobs_pb2.SubmitRequest, traceparent: str) -> Entry:
        if request.archive:
            safe_path(request.path)
            if not await self._archives.has(request.archive):
                raise Refused(f"there is no archive {request.archive!r}: upload it first")
        stem = PurePosixPath(request.path).stem
        entries = self._roster.entries
        if self._books is not None:
            number = await self._books.give_number()
        else:
            number = max((entry.number for entry in entries.values()), default=0) + 1
        try:
            # With a store of its own a job's name is the one that it has there.
            name = job_name("" if request.store else request.name, stem, number)
        except ValueError as error:
            raise Refused(str(error)) from None
        if name in self._roster.going:
            raise AskAgain.going(name)
        replaced = entries.get(name)
        if replaced is not None and not (request.replace and replaced.job.state.ended):
            raise Refused(f"there is a job {name!r} already: choose another name, or none")
        store, space = request.store, request.name or stem
        if not store and self._books is not None and not request.ephemeral:
            store, space = self._books.url, name
        if store:
            self._refuse_if_taken(store, space)
        vault = await self._open_vault(request, store, space) if store else None
        job = Job(name, request, self._hosts, vault, self.trace(name, traceparent))
        if replaced is not None:
            job.pins.follow(replaced.job.pins, job.view)
        return Entry(job, number, store, space if store else "")

    def _refuse_if_taken(self, store: str, space: str) -> None:
        for other in self._roster.entries.values():
            if (other.store, other.space) == (store, space) and not other.job.state.ended:
                raise Refused(
                    f"the job {other.job.name} works in {parse(store).shown} as {space!r}: choose another --name"
                )

    async def _open_vault(self, request: jobs_pb2.SubmitRequest, store: str, space: str) -> Vault:
        vault = Vault(store, space, request.keep or KEEP)
        await vault.open()
        if not request.resume and await vault.in_use():
            await vault.close()
            shown = parse(store).shown
            raise Refused(
                f"{shown} holds checkpoints or logged inputs of the job {space!r} already: go on from them with "
                f"--resume, delete them (limnad checkpoints delete --store {shown} {space}), or choose another --name"
            )
        return vault

    async def _withdraw(self, name: str) -> None:
        """Has the registry be as if a job had not been submitted whose client was told that it may not have been."""
        while True:
            async with self._one_by_one:
                with contextlib.suppress(Deposed, StoreError):
                    if (entry := self._roster.entries.get(name)) is not None:  # The one before it, or one since.
                        entry.saved = None
                        return await self._roster.save(entry)
                    if self._books is not None:
                        return await self._books.withdraw(name)
            await asyncio.sleep(STORE_RETRY_S)

    def trace(self, job: str, traceparent: str = "") -> JobTrace | None:
        """Where a job's traces go; None: nowhere."""
        return None if self._tracer is None else self._tracer.submission(traceparent, {"limnad.job": job})

    def flush(self) -> None:
        """Sends what there is of traces."""
        if self._tracer is not None:
            self._tracer.flush()
