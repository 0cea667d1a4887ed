"""Engines as their agent and the jobs that use them see them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from limnad_proto.v1 import control_pb2 as wire
from limnad_worker.processes import EngineProcess

if TYPE_CHECKING:
    from limnad_worker.job import Job


class Engine:
    """An engine as its agent sees it."""

    def __init__(self, process: EngineProcess) -> None:
        self.process = process
        self.address = ""
        self.outgoing: asyncio.Queue[wire.ToEngine | None] = asyncio.Queue()
        self.job: Job | None = None


class Engines(Protocol):
    """Where a job gets its engines."""

    host: str
    """The interface that processes listen on."""

    async def take(self, job: Job, count: int) -> list[Engine]:
        """Engines that nobody else has."""

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something until the agent stops."""
