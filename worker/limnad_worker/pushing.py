"""Pushes of one client that does not wait for each answer: taken up as they come, answered in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

from limnad_proto.v1 import jobs_pb2

WINDOW_PUSHES: Final = 64
"""So many pushes of one stream are under way at once."""

WINDOW_BYTES: Final = 16 << 20
"""With so many bytes under way nothing more of the stream is read: the client waits."""

Push = jobs_pb2.PushRequest
Take = Callable[[Push], Awaitable["asyncio.Future[int | None]"]]


class _Window:
    """What is under way, oldest first.

    Args:
        pushes: See `WINDOW_PUSHES`.
        nbytes: See `WINDOW_BYTES`.
    """

    def __init__(self, pushes: int, nbytes: int) -> None:
        self._pushes, self._nbytes = pushes, nbytes
        self._held = self._held_bytes = 0
        self._queue: asyncio.Queue[tuple[Push, asyncio.Future[int | None]] | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    async def fill(self, requests: AsyncIterator[Push], take: Take) -> None:
        """Takes up what comes, one after the other, as far as there is room. What fails ends it."""
        try:
            async for request in requests:
                await self._room.wait()
                answer = await take(request)
                self._count(1, request)
                self._queue.put_nowait((request, answer))
                if (
                    not request.producer
                ):  # Its job may have no store; then what follows a refused one must not be taken.
                    await asyncio.wait([answer])
        finally:
            self._queue.put_nowait(None)

    async def next(self) -> tuple[Push, asyncio.Future[int | None]] | None:
        """The oldest one; None: no more will come."""
        return await self._queue.get()

    def answered(self, request: Push) -> None:
        """There is room for another one."""
        self._count(-1, request)

    def forget(self) -> None:
        """Nobody waits for the answers any more."""
        while not self._queue.empty():
            left = self._queue.get_nowait()
            if left is not None and not left[1].cancel():
                left[1].exception()  # Else it is complained that nobody has heard of it.

    def _count(self, by: int, request: Push) -> None:
        self._held += by
        self._held_bytes += by * request.ByteSize()
        if self._held < self._pushes and self._held_bytes < self._nbytes:
            self._room.set()
        else:
            self._room.clear()


async def in_turn(
    requests: AsyncIterator[Push], take: Take, *, pushes: int = WINDOW_PUSHES, nbytes: int = WINDOW_BYTES
) -> AsyncGenerator[tuple[Push, int | None], None]:
    """Takes pushes up in their order, several at once; yields each with its answer, in the same order.

    Law: what `take` of a push or its answer raises is raised behind the answers of all pushes before it. Those that
    were taken up behind it go on, and nobody waits for them; those that were not are not read.

    Args:
        requests: Of one client.
        take: Takes one up; what it returns is done when it is answered.
        pushes: See `WINDOW_PUSHES`.
        nbytes: See `WINDOW_BYTES`.
    """
    window = _Window(pushes, nbytes)
    filling = asyncio.ensure_future(window.fill(requests, take))
    try:
        while (oldest := await window.next()) is not None:
            request, answer = oldest
            offset = await answer
            window.answered(request)
            yield request, offset
        await filling
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        window.forget()
