"""What the agent of index 0 is besides: the leader of all jobs, on its own host and on those of the other agents.

With a store it leads only when it has taken the lead there, and goes on with the jobs that it finds. What it may not
forget is in the registry before it is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import PurePosixPath
from typing import Any

from limnad.cluster import leader
from limnad.cluster.registry import Deposed, Fate, JobRecord, forgotten, job_name
from limnad.store import StoreError, Unavailable
from limnad.store.opening import parse
from limnad_proto.v1 import control_pb2_grpc, hosts_pb2, hosts_pb2_grpc, jobs_pb2
from limnad_worker import history, steering
from limnad_worker.archives import Archives
from limnad_worker.books import Books
from limnad_worker.entries import LOST, OUTPUTS_GONE, OUTPUTS_LET_GO, Entry, recalled
from limnad_worker.feeding import Refused
from limnad_worker.host import Host
from limnad_worker.hosts import HostLink, Hosts
from limnad_worker.job import Job
from limnad_worker.tracing import JobTrace, from_environment
from limnad_worker.unpacking import safe_path
from limnad_worker.vault import KEEP, Vault

_LOG = logging.getLogger("limnad_worker.leading")

TICK_S = 0.1
"""How often jobs are told that time has passed."""

CHECK_S = 2.0
"""How often a leader makes sure that it leads still."""

STORE_RETRY_S = 1.0
"""How often a store that is away is tried again."""


class NotLeading(Exception):
    """The leader cannot answer yet; says why."""


class Leader:
    """Owns the jobs.

    Args:
        info: Of its own agent.
        host: Its own.
        hosts: All hosts, which it is the one to use.
        archives: Where jobs' files are.
        books: The cluster's store; None: the leader's memory.
        accept_paths: Whether clients of this machine may name a job file instead of an archive.
    """

    def __init__(
        self,
        info: hosts_pb2.HostInfo,
        host: Host,
        hosts: Hosts,
        archives: Archives,
        books: Books | None,
        *,
        accept_paths: bool,
    ) -> None:
        self.hosts = hosts
        self.archives = hosts.archives = archives
        self.accept_paths = accept_paths
        self.deposed = asyncio.Event()
        self._entries: dict[str, Entry] = {}
        self._requests: dict[str, str] = {}
        self._recalling: set[str] = set()
        self._books = books
        self._host = host
        self._link = HostLink(info, host.tell)
        self._news: asyncio.Queue[hosts_pb2.FromHost] = asyncio.Queue()
        self._not_leading = "the leader has just been started"
        self._leaving = False
        self._tracer = from_environment()
        self._submitting = asyncio.Lock()
        self._saving = asyncio.Lock()
        host.say = self._news.put_nowait
        hosts.on_leaving = self._let_leave
        hosts.check_lead, hosts.succeeds = self._check, books is not None

    def register(self, server: Any) -> None:
        """Adds what other agents and engines call to a server."""
        hosts_pb2_grpc.add_HostsServicer_to_server(self.hosts, server)
        control_pb2_grpc.add_ControlServicer_to_server(self.hosts, server)

    async def start(self, address: str) -> None:
        """Begins, now that it serves at that address."""
        self._host.leader = address
        self.hosts.keep(self._listen())
        self.hosts.keep(self._tick())
        if self._books is None:
            await self._lead(0, [])
        else:
            self.hosts.keep(self._take_lead(self._books))

    async def leave(self) -> None:
        """Has all jobs that keep checkpoints make one: this agent is about to go."""
        self._leaving = True
        await asyncio.gather(*[steering.save(job) for job in self.jobs])

    async def stop(self) -> None:
        """Ends all engines. Jobs in the registry are not ended: the next leader goes on with them."""
        self.hosts.stop()
        for job in self.jobs:
            job.abandon()
        if self._books is not None:
            await self._books.close()
        if self._tracer is not None:
            self._tracer.flush()

    # -- the lead ------------------------------------------------------------------------------------------------------

    async def _take_lead(self, books: Books) -> None:
        while True:
            try:
                term, records = await books.take_lead()
            except Deposed:
                continue  # Another one took over in the middle of it: now it is ours.
            except StoreError as error:
                self._not_leading = f"the leader waits for its store: {error}"
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return await self._lead(term, records)

    async def _lead(self, term: int, records: list[JobRecord]) -> None:
        _LOG.info("this agent leads, in term %d, with %d jobs in the registry", term, len(records))
        self._recalling = {record.job for record in records}
        for record in records:  # A client may have missed the answer of the leader before, and ask again at once.
            self._know(jobs_pb2.SubmitRequest.FromString(record.request), record.job)
        self.hosts.open(term)
        await self.hosts.add(self._link)
        self._not_leading = ""
        for record in records:
            self.hosts.keep((self._forget_at_last if record.fate is Fate.GONE else self._recall)(record))
        self.hosts.keep(self._keep_checking())
        self.hosts.keep(self.archives.keep_tidy(self._archives_in_use))

    async def _recall(self, record: JobRecord) -> None:
        """Goes on with a job of an earlier leader."""
        request = jobs_pb2.SubmitRequest.FromString(record.request)
        if record.fate is Fate.GOES_ON:
            vault = await self._reopened(record, request)
            job = Job(record.job, request, self.hosts, vault, self._trace(record.job))
            job.workers, job.draining, job.view.draining = record.width, record.draining, record.draining
            history.restarted(job.view, "The leader was restarted.")
        elif record.fate is Fate.ENDED:
            job = recalled(record, self.hosts)
        else:
            job = Job(record.job, request, self.hosts, None)
        job.view.submitted_s = record.submitted_s
        job.pins.named.update(record.pins)
        job.pins.show(job.view)
        ended = record.fate is Fate.ENDED
        self._add(Entry(job, record.number, record.store, record.space, record, recalled=ended))
        self._recalling.discard(record.job)
        if record.fate is Fate.LOST:
            await job.fail(leader.Failure(leader.Fault.PROCESS, f"{LOST}."))
        elif record.fate is Fate.GOES_ON:
            await job.begin()

    async def _reopened(self, record: JobRecord, request: jobs_pb2.SubmitRequest) -> Vault:
        while True:
            try:
                return await asyncio.to_thread(Vault, record.store, record.space, request.keep or KEEP)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_S)

    async def _check(self) -> None:
        if self._books is not None:
            try:
                await self._books.check()
            except Deposed:
                self.deposed.set()
                raise

    async def _archives_in_use(self) -> set[str]:
        try:
            await self._check()
        except Deposed as error:
            raise StoreError(str(error)) from None
        if self._recalling:
            raise StoreError("not all jobs are known yet")
        return {entry.job.request.archive for entry in self._entries.values()}

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            with contextlib.suppress(Deposed, StoreError):
                await self._check()

    # -- jobs ----------------------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        entries = sorted(self._entries.values(), key=lambda entry: -entry.number)
        return [entry.job for entry in entries]

    def listed(self) -> list[Job]:
        """`jobs`, for somebody who would take none for an answer.

        Raises:
            NotLeading: They may be there soon.
        """
        if self._not_leading or self._recalling:
            raise NotLeading(self._not_leading or "the leader is about to go on with its jobs")
        return self.jobs

    def job(self, name: str) -> Job:
        """A job.

        Raises:
            NotLeading: It may be there soon.
            KeyError: There is none of that name.
        """
        if self._not_leading or name in self._recalling:
            raise NotLeading(self._not_leading or "the leader is about to go on with the job")
        if name not in self._entries:
            known = ", ".join(job.name for job in self.jobs[:5]) or "none"
            raise KeyError(f"there is no job {name!r}; the newest are: {known}")
        return self._entries[name].job

    async def submit(self, request: jobs_pb2.SubmitRequest, traceparent: str = "") -> Job:
        """Starts a job; returns when it is in the registry.

        Args:
            request: What is wanted.
            traceparent: The client's, if it has one: where the job's traces begin.

        Raises:
            Refused: The request is wrong, or its store holds checkpoints already and it is not to go on from them.
            NotLeading: This may be tried again.
            StoreError: A store cannot be reached, or refuses us.
        """
        if self._not_leading:
            raise NotLeading(self._not_leading)
        async with self._submitting:
            known = self._requests.get(request.request_id)
            if known in self._recalling:
                raise NotLeading("the leader is about to go on with the job")
            if known is not None and known in self._entries:
                entry = self._entries[known]
                if entry.job.request != request:
                    raise Refused(f"the request id {request.request_id!r} belongs to another request, of job {known}")
                return entry.job
            entry = await self._admit(request, traceparent)
            before = self._entries.get(entry.job.name)
            self._add(entry)
            self.archives.awaited.discard(request.archive)
            try:
                await self._save(entry)
            except StoreError:
                del self._entries[entry.job.name]
                self._requests.pop(request.request_id, None)
                if before is not None:
                    self._add(before)
                self.hosts.keep(self._withdraw(entry.job.name))
                raise
        self.hosts.keep(entry.job.begin())
        return entry.job

    async def _admit(self, request: jobs_pb2.SubmitRequest, traceparent: str) -> Entry:
        if request.archive:
            safe_path(request.path)
            if not await self.archives.has(request.archive):
                raise Refused(f"there is no archive {request.archive!r}: upload it first")
        stem = PurePosixPath(request.path).stem
        if self._books is not None:
            number = await self._books.give_number()
        else:
            number = max((entry.number for entry in self._entries.values()), default=0) + 1
        try:
            # With a store of its own a job's name is the one that it has there.
            name = job_name("" if request.store else request.name, stem, number)
        except ValueError as error:
            raise Refused(str(error)) from None
        replaces = request.replace and name in self._entries and self._entries[name].job.state.ended
        if name in self._recalling or (name in self._entries and not replaces):
            raise Refused(f"there is a job {name!r} already: choose another name, or none")
        store, space = request.store, request.name or stem
        if not store and self._books is not None and not request.ephemeral:
            store, space = self._books.url, name
        for other in self._entries.values():
            if store and (other.store, other.space) == (store, space) and not other.job.state.ended:
                raise Refused(
                    f"the job {other.job.name} works in {parse(store).shown} as {space!r}: choose another --name"
                )
        vault = await self._open_vault(request, store, space) if store else None
        job = Job(name, request, self.hosts, vault, self._trace(name, traceparent))
        if replaces:
            job.pins.follow(self._entries[name].job.pins, job.view)
        return Entry(job, number, store, space if store else "")

    def _trace(self, job: str, traceparent: str = "") -> JobTrace | None:
        return None if self._tracer is None else self._tracer.submission(traceparent, {"limnad.job": job})

    async def _open_vault(self, request: jobs_pb2.SubmitRequest, store: str, space: str) -> Vault:
        vault = await asyncio.to_thread(Vault, store, space, request.keep or KEEP)
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
            async with self._submitting:
                with contextlib.suppress(Deposed, StoreError):
                    if (entry := self._entries.get(name)) is not None:  # The one before it, or one submitted since.
                        entry.saved = None
                        return await self._save(entry)
                    if self._books is not None:
                        return await self._books.withdraw(name)
            await asyncio.sleep(STORE_RETRY_S)

    def _know(self, request: jobs_pb2.SubmitRequest, job: str) -> None:
        if request.request_id:
            self._requests[request.request_id] = job

    def _add(self, entry: Entry) -> None:
        self._entries[entry.job.name] = entry
        self._know(entry.job.request, entry.job.name)
        entry.job.on_change = lambda: self.hosts.keep(self._save_at_last(entry))

    async def restore(self, job: Job, checkpoint: int, workers: int) -> int:
        """See `steering.restore`.

        Raises:
            Refused: It keeps no checkpoints, or has no such one.
            StoreError: Its store cannot be reached.
        """
        entry = self._entries[job.name]
        if not entry.store:
            raise Refused("the job has no store to keep a checkpoint in: give it one when it is submitted")
        vault = await asyncio.to_thread(Vault, entry.store, entry.space, job.request.keep or KEEP)
        return await steering.restore(job, checkpoint, workers, vault)

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
            entry = self._entries.get(job.name)
            if entry is not None and job.state.ended:  # Else it was restored, or forgotten, meanwhile.
                await self._forget(entry)

    async def recall_outputs(self, job: Job) -> None:
        """Has a job that ended under another leader give what its last checkpoint has kept of its outputs.

        Raises:
            Refused: It keeps no checkpoints: what it had put out is gone with that leader, and may not have been read.
            StoreError: That cannot be read.
        """
        entry = self._entries[job.name]
        if not job.state.ended or job.outputs.readable:
            return
        if entry.store:
            vault = await asyncio.to_thread(Vault, entry.store, entry.space, KEEP)
            try:
                await steering.recall_outputs(job, vault)
            finally:
                await vault.close()
            steering.let_go_of_outputs(job, self.jobs)
        elif job.outputs.gone:
            raise Refused(OUTPUTS_LET_GO)
        elif entry.recalled and job.state is leader.State.FINISHED and job.view.outputs:
            raise Refused(OUTPUTS_GONE)

    async def past_sequence(self, job: Job, name: str, producer: str) -> int | None:
        """A producer's newest number in the log of a job that ended under another leader; None: it did not do so.

        Raises:
            StoreError: It cannot be read.
        """
        entry = self._entries[job.name]
        if not (entry.recalled and entry.store and job.state.ended and name in job.view.inputs):
            return None
        vault = await asyncio.to_thread(Vault, entry.store, entry.space, KEEP)
        try:
            return await vault.last_sequence(name, producer)
        finally:
            await vault.close()

    async def checkpoints(self, job: Job) -> list[jobs_pb2.CheckpointInfo]:
        """What there is to restore, the newest first.

        Raises:
            StoreError: Its store cannot be reached.
        """
        entry = self._entries[job.name]
        if not entry.store:
            return []
        vault = await asyncio.to_thread(Vault, entry.store, entry.space, KEEP)
        try:
            return await vault.infos()
        finally:
            await vault.close()

    # -- the registry --------------------------------------------------------------------------------------------------

    async def settle(self, job: Job) -> None:
        """Returns when what became of a job is in the registry."""
        await self._save_at_last(self._entries[job.name])

    async def _save_at_last(self, entry: Entry) -> None:
        while True:
            try:
                await self._save(entry)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    async def _save(self, entry: Entry) -> None:
        async with self._saving:
            record = entry.record()
            if record == entry.saved:
                return
            if self._books is not None:
                try:
                    await self._books.save(record)
                    if entry.saved is None:  # A leader that comes now finds the job; one that came before does not.
                        await self._books.check()
                except Deposed as error:
                    self.deposed.set()
                    raise Unavailable(f"{error}: ask it") from None
            entry.saved = record
        if record.fate is Fate.ENDED:
            await self._forget_old()
            steering.let_go_of_outputs(entry.job, self.jobs)

    async def _forget_old(self) -> None:
        async with self._saving:
            # One that is being restored has ended, as far as the registry knows.
            records = [each.saved for each in self._entries.values() if each.job.state.ended and each.saved is not None]
            for entry in [self._entries[record.job] for record in forgotten(records)]:
                if entry.job.state.ended and not entry.job.steering.locked():
                    async with entry.job.steering:
                        await self._forget(entry)

    async def _forget_at_last(self, record: JobRecord) -> None:
        """Finishes what an earlier leader has begun; until then there is no other job of that name."""
        entry = Entry(recalled(record, self.hosts), record.number, record.store, record.space, record)
        while record.job in self._recalling:
            with contextlib.suppress(StoreError):
                async with self._saving:
                    await self._forget(entry)
                self._recalling.discard(record.job)
                break
            await asyncio.sleep(STORE_RETRY_S)

    async def _forget(self, entry: Entry) -> None:
        request = entry.job.request
        if self._books is not None and entry.saved is not None:
            await self._books.forget(entry.saved)
        self._entries.pop(entry.job.name, None)
        self._requests.pop(request.request_id, None)
        if request.archive and all(each.job.request.archive != request.archive for each in self._entries.values()):
            await self.archives.forget(request.archive)

    # -- time, and hosts -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            await self.hosts.heard(self._link, await self._news.get())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for job in self.jobs:
                if not job.state.ended:
                    try:
                        await job.tick()
                    except Exception:  # noqa: BLE001 - whatever it is, other jobs must not stand still for it
                        _LOG.exception("job %s: a tick has failed", job.name)

    async def _let_leave(self, link: HostLink) -> None:
        """Takes what works on a host elsewhere, from a new checkpoint."""
        if not self._leaving:
            await asyncio.gather(*[steering.move(job) for job in link.jobs])
