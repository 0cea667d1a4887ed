"""A job's coordinators on this machine: a process of its own for each generation, as it has engines of its own.

There is no state to reset, and a coordinator that is lost ends its generation like an engine that is lost.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from typing import Any, Self

import grpc

from limnad.cluster import leader
from limnad.cluster.effects import COORDINATOR
from limnad_proto.channels import open_channel
from limnad_proto.tls import Role
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import coordinator_pb2, coordinator_pb2_grpc
from limnad_worker.processes import ChildProcess

ASSIGN_S = 10.0
"""How long a coordinator may take to start and to take a generation: a third of a second on a quiet machine."""


class Coordination:
    """Gives one generation after the other its coordinator.

    Args:
        host: The interface that coordinators listen on.
        shared: The address of one that is there already, and serves many jobs; empty: each generation has its own.
        tell_leader: Takes what becomes of the coordinator of the moment.
    """

    def __init__(self, host: str, shared: str, tell_leader: Callable[[leader.Event], Awaitable[None]]) -> None:
        self._host = host
        self._shared = shared
        self._tell_leader = tell_leader
        self._process: CoordinatorProcess | None = None
        self._wanted: tuple[str, int] | None = None

    async def assign(self, job: str, generation: int, workers: int) -> None:
        """Starts a coordinator, assigns the generation to it, and waits for its end."""
        wanted = self._wanted = (job, generation)
        if self._shared:
            await self._assign_shared(job, generation, workers)
            return
        try:
            process = await CoordinatorProcess.spawn(self._host)
        except OSError as error:
            if self._wanted == wanted:
                await self._tell_leader(leader.Exited(COORDINATOR, f"could not be started: {error}"))
            return
        if self._wanted != wanted:
            process.kill()
            return
        self._process = process
        appointed = await process.assign(job, generation, workers)
        if appointed is not None and process is self._process:
            await self._tell_leader(leader.Assigned(appointed))
        how = await process.wait()
        if process is self._process:
            await self._tell_leader(leader.Exited(COORDINATOR, how))

    async def _assign_shared(self, job: str, generation: int, workers: int) -> None:
        """Assigns the generation to the one that is there. When that is lost, the engines' streams to it say so."""
        event: leader.Event
        try:
            async with asyncio.timeout(ASSIGN_S):
                event = leader.Assigned(await appoint(self._shared, job, generation, workers))
        except (TimeoutError, grpc.RpcError) as error:
            why = error.details() if isinstance(error, grpc.aio.AioRpcError) else f"no answer in {ASSIGN_S:g} s"
            event = leader.Exited(COORDINATOR, f"at {self._shared} did not take the job: {why}")
        if self._wanted == (job, generation):
            await self._tell_leader(event)

    def let_go(self) -> None:
        """Ends the coordinator of the moment; what becomes of it counts for nothing."""
        process, self._process, self._wanted = self._process, None, None
        if process is not None:
            process.kill()


class CoordinatorProcess(ChildProcess):
    """A coordinator's process; it ends when its agent does."""

    @classmethod
    async def spawn(cls, host: str) -> Self:
        """Starts one; nothing is assigned to it."""
        # Insecure where the agent is: it has been asked whether it may be.
        command = [sys.executable, "-m", "limnad_coordinator", "--host", host, "--insecure", "--until-stdin-ends"]
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True))

    async def assign(self, job: str, generation: int, workers: int) -> leader.Appointed | None:
        """Assigns a generation to it; None: it did not take it in time, and has been ended."""
        try:
            async with asyncio.timeout(ASSIGN_S):
                return await self._assign(job, generation, workers)
        except (TimeoutError, ValueError, KeyError, grpc.RpcError):
            self.kill()
            return None

    async def _assign(self, job: str, generation: int, workers: int) -> leader.Appointed:
        assert self._process.stdout is not None
        address = json.loads(await self._process.stdout.readline())["address"]
        return await appoint(address, job, generation, workers)


async def appoint(address: str, job: str, generation: int, workers: int) -> leader.Appointed:
    """Assigns a generation to the coordinator at an address.

    Raises:
        grpc.RpcError: It does not take it.
    """
    async with open_channel(address, Role.COORDINATOR) as channel:
        stub: Any = coordinator_pb2_grpc.CoordinatorStub(channel)
        request = coordinator_pb2.AssignRequest(job=job, generation=generation, workers=workers)
        return leader.Appointed(address, (await stub.Assign(request, timeout=ASSIGN_S)).identity)


def start_message(start: leader.SendStart) -> wire.Start:
    """What an engine is told that is to start."""
    named = start.coordinator
    coordinator = None if named is None else wire.Appointed(address=named.address, identity=named.identity)
    return wire.Start(members=start.members, accumulation=start.accumulation.value, coordinator=coordinator)
