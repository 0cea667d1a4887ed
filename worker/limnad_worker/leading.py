"""What the agent of index 0 is besides: the leader of all jobs, on its own host and on those of the other agents.

With a store it leads only when it has taken the lead there, and goes on with the jobs that it finds. What it may not
forget is in the registry before it is answered: see `roster`. How a request becomes a job: see `submitting`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from limnad.cluster import leader
from limnad.cluster.registry import Deposed, Fate, JobRecord
from limnad.store import StoreError
from limnad_proto.v1 import control_pb2_grpc, hosts_pb2, hosts_pb2_grpc, jobs_pb2
from limnad_worker import history, steering
from limnad_worker.archives import Archives
from limnad_worker.books import Books
from limnad_worker.entries import LOST, AskAgain, Entry, recalled
from limnad_worker.host import Host
from limnad_worker.hosts import HostLink, Hosts
from limnad_worker.job import Job
from limnad_worker.roster import STORE_RETRY_S, Roster
from limnad_worker.submitting import Submitting
from limnad_worker.vault import KEEP, Vault

_LOG = logging.getLogger("limnad_worker.leading")

TICK_S = 0.1
"""How often jobs are told that time has passed."""

CHECK_S = 2.0
"""How often a leader makes sure that it leads still."""


class Leader:
    """Owns the jobs.

    Args:
        info: Of its own agent.
        host: Its own.
        hosts: All hosts, which it is the one to use.
        archives: Where jobs' files are.
        books: The cluster's store; None: the leader's memory.
        accept_paths: Whether clients of this machine may name a job file instead of an archive.

    Attributes:
        deposed: Set when another one has taken over.
        roster: The jobs.
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
        self.roster = Roster(books, archives, hosts.keep, self.deposed)
        self._submitting = Submitting(self.roster, books, archives, hosts)
        self._books = books
        self._host = host
        self._link = HostLink(info, host.tell)
        self._news: asyncio.Queue[hosts_pb2.FromHost] = asyncio.Queue()
        self._not_leading = "the leader has just been started"
        self._leaving = False
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
        self._submitting.flush()

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
        for record in records:  # A client may have missed the answer of the leader before, and ask again at once.
            self._recall(record)
        self.hosts.open(term)
        await self.hosts.add(self._link)
        self._not_leading = ""
        self.hosts.keep(self._keep_checking())
        self.hosts.keep(self.archives.keep_tidy(self._archives_in_use))

    def _recall(self, record: JobRecord) -> None:
        """Knows a job of an earlier leader from now on, and goes on with what was begun."""
        if record.fate is Fate.GONE:
            self.roster.finish_deletion(Entry.of(record, recalled(record, self.hosts)))
            return
        job = self._job_of(record)
        job.view.submitted_s = record.submitted_s
        job.pins.named.update(record.pins)
        job.pins.show(job.view)
        self.roster.add(Entry.of(record, job))
        if record.fate is Fate.LOST:
            self.hosts.keep(job.fail(leader.Failure(leader.Fault.PROCESS, f"{LOST}.")))
        elif record.fate is Fate.GOES_ON:
            # Its own store may be away: the job waits for it, and says so, like any other that is to begin.
            self.hosts.keep(job.begin())

    def _job_of(self, record: JobRecord) -> Job:
        request = jobs_pb2.SubmitRequest.FromString(record.request)
        if record.fate is Fate.ENDED:
            return recalled(record, self.hosts)
        if record.fate is Fate.LOST:
            return Job(record.job, request, self.hosts, None)
        vault = Vault(record.store, record.space, request.keep or KEEP)
        job = Job(record.job, request, self.hosts, vault, self._submitting.trace(record.job))
        job.workers, job.draining, job.view.draining = record.width, record.draining, record.draining
        job.recovering = True
        history.restarted(job.view, "The leader was restarted.")
        return job

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
        return self.roster.archives_in_use

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            with contextlib.suppress(Deposed, StoreError):
                await self._check()

    # -- jobs ----------------------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        return self.roster.jobs

    def listed(self) -> list[Job]:
        """`jobs`, for somebody who would take none for an answer.

        Raises:
            AskAgain: They may be there soon.
        """
        if self._not_leading:
            raise AskAgain(self._not_leading)
        return self.jobs

    def entry(self, name: str) -> Entry:
        """A job and its place in the registry.

        Raises:
            AskAgain: It may be there soon.
            KeyError: There is none of that name.
        """
        if self._not_leading:
            raise AskAgain(self._not_leading)
        if name in self.roster.going:
            raise AskAgain.going(name)
        if name not in self.roster.entries:
            known = ", ".join(job.name for job in self.jobs[:5]) or "none"
            raise KeyError(f"there is no job {name!r}; the newest are: {known}")
        return self.roster.entries[name]

    def job(self, name: str) -> Job:
        """A job. Raises: see `entry`."""
        return self.entry(name).job

    async def submit(self, request: jobs_pb2.SubmitRequest, traceparent: str = "") -> Job:
        """Starts a job; returns when it is in the registry.

        Args:
            request: What is wanted.
            traceparent: The client's, if it has one: where the job's traces begin.

        Raises:
            Refused: The request is wrong, or its store holds checkpoints already and it is not to go on from them.
            AskAgain: This may be tried again.
            StoreError: A store cannot be reached, or refuses us.
        """
        if self._not_leading:
            raise AskAgain(self._not_leading)
        return await self._submitting.submit(request, traceparent)

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
