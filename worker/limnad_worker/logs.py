"""What the engines of a job have printed: kept by the leader, so that it outlives engines, hosts and agents."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limnad_worker.job import Job

LAST_PRINTS_S = 5.0
"""How long the engines of a job that has ended are waited for: they print to their end, which takes milliseconds."""

KEPT_BYTES = 1 << 20
"""How much of a job's prints is kept: the newest. What died said last is what matters."""

PIECE_BYTES = 150
"""What a piece takes beside its text: some print a dot now and then."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A piece of what an engine has printed.

    Attributes:
        generation: Of the engine.
        worker: Which worker it was.
        text: As it was printed; whole lines, mostly.
    """

    generation: int
    worker: int
    text: bytes


@dataclass(slots=True)
class JobLog:
    """The newest prints of one job."""

    _pieces: deque[Printed] = field(default_factory=deque)
    _bytes: int = 0
    _dropped: int = 0
    _closed: bool = False
    _waiting: set[asyncio.Future[None]] = field(default_factory=set)

    def add(self, piece: Printed) -> None:
        """Something was printed."""
        self._pieces.append(piece)
        self._bytes += PIECE_BYTES + len(piece.text)
        while self._bytes > KEPT_BYTES and len(self._pieces) > 1:
            self._bytes -= PIECE_BYTES + len(self._pieces.popleft().text)
            self._dropped += 1
        self._wake()

    def close(self) -> None:
        """Who follows need wait no longer."""
        self._closed = True
        self._wake()

    def reopen(self) -> None:
        """The job goes on after all."""
        self._closed = False

    async def read(self, *, follow: bool) -> AsyncIterator[Printed]:
        """What is kept, and with ``follow`` what comes until `close`."""
        place = 0
        while True:
            place = max(place, self._dropped)
            while place < self._dropped + len(self._pieces):
                piece = self._pieces[place - self._dropped]
                place += 1
                yield piece
                place = max(place, self._dropped)
            if self._closed or not follow:
                return
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)  # Else those who hang up would pile up until something is printed.

    def _wake(self) -> None:
        for each in self._waiting:
            if not each.done():
                each.set_result(None)


async def close_at_last(job: Job) -> None:
    """Closes the log of a job that has ended, when all that its engines have printed is there.

    Their prints come another way than the news that they have finished, and may be behind it.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_PRINTS_S), job.changed:
            await job.changed.wait_for(lambda: not any(engine.alive for engine in job.engines))
    if job.state.ended:  # Else it was restored meanwhile.
        job.log.close()
