"""What the agent of index 0 is besides: the leader of all jobs, on its own host and on those of the other agents."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from limnad.store import StoreError
from limnad_proto.v1 import control_pb2_grpc, hosts_pb2, hosts_pb2_grpc, jobs_pb2
from limnad_worker.host import Host
from limnad_worker.hosts import HostLink, Hosts
from limnad_worker.job import Job, Refused
from limnad_worker.vault import KEEP, Vault

TICK_S = 0.1
"""How often jobs are told that time has passed."""


class Leader:
    """Owns the jobs.

    Args:
        info: Of its own agent.
        host: Its own.
        hosts: All hosts, which it is the one to use.
    """

    def __init__(self, info: hosts_pb2.HostInfo, host: Host, hosts: Hosts) -> None:
        self.jobs: dict[str, Job] = {}
        self.hosts = hosts
        self._host = host
        self._link = HostLink(info, host.tell)
        self._news: asyncio.Queue[hosts_pb2.FromHost] = asyncio.Queue()
        self._leaving = False
        host.say = self._news.put_nowait
        hosts.on_leaving = self._let_leave

    def register(self, server: Any) -> None:
        """Adds what other agents and engines call to a server."""
        hosts_pb2_grpc.add_HostsServicer_to_server(self.hosts, server)
        control_pb2_grpc.add_ControlServicer_to_server(self.hosts, server)

    async def start(self, address: str) -> None:
        """Begins, now that it serves at that address."""
        self._host.leader = address
        await self.hosts.add(self._link)
        self.hosts.keep(self._listen())
        self.hosts.keep(self._tick())

    async def leave(self) -> None:
        """Has all jobs that keep checkpoints make one: this agent is about to go."""
        self._leaving = True
        await asyncio.gather(*[_save(job) for job in self.jobs.values()])

    async def stop(self) -> None:
        """Ends all jobs."""
        for job in self.jobs.values():
            await job.cancel()
        self.hosts.stop()

    async def submit(self, request: jobs_pb2.SubmitRequest) -> Job:
        """Starts a job.

        Raises:
            Refused: Its store holds checkpoints already, and it is not to go on from them.
            StoreError: Its store cannot be opened.
        """
        vault = await self._open_vault(request) if request.store else None
        name = f"job-{len(self.jobs) + 1}"
        job = self.jobs[name] = Job(name, request, self.hosts, vault)
        self.hosts.keep(job.begin())
        return job

    async def _open_vault(self, request: jobs_pb2.SubmitRequest) -> Vault:
        space = request.name or Path(request.path).stem
        vault = await asyncio.to_thread(Vault, request.store, space, request.keep or KEEP)
        if not request.resume and await vault.numbers():
            await vault.close()
            raise Refused(
                f"{request.store} holds checkpoints of the job {space!r} already: go on from them with --resume, "
                f"delete them (limnad checkpoints delete --store {request.store} {space}), or choose another --name"
            )
        return vault

    async def _listen(self) -> None:
        while True:
            await self.hosts.heard(self._link, await self._news.get())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for job in list(self.jobs.values()):
                await job.tick()

    async def _let_leave(self, link: HostLink) -> None:
        """Takes what works on a host elsewhere, from a new checkpoint."""
        if not self._leaving:
            await asyncio.gather(*[_move(job) for job in link.jobs])


async def _save(job: Job) -> None:
    with contextlib.suppress(Refused, StoreError):
        if job.survives_losses:
            await job.checkpoint()


async def _move(job: Job) -> None:
    with contextlib.suppress(Refused, StoreError):
        if job.survives_losses:
            await job.move()
