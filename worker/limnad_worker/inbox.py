"""Where an engine's news comes in, and the event loop that it lives in.

The engine is plain synchronous code in one thread, and gRPC's streams are coroutines in the *same* thread: they run
while the engine looks into its inbox or sleeps there, and at no other time. So a message wakes the engine without
going through another thread, which is most of what a small message costs; and a user's code is never run inside an
event loop, so that it may have one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import selectors
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

PATIENCE = 1 / 16
"""For which part of the time in which the streams could not move they are waited for when they pause."""

PATIENCE_S = 0.0002
"""For how long at most: gRPC's own thread needs some tens of microseconds between two turns of a stream."""


class _Watched(selectors.DefaultSelector):
    """Knows whether anything has happened.

    Attributes:
        moved: Whether the last look has found something.
    """

    moved = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout)
        self.moved = bool(found)
        return found


class Inbox:
    """A queue that is filled by the coroutines of its own loop, which run while somebody waits for it."""

    def __init__(self) -> None:
        self._watched = _Watched()
        self._loop = asyncio.SelectorEventLoop(self._watched)
        self._news: deque[Any] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def put(self, item: Any) -> None:
        """Adds an item; from a coroutine of this loop."""
        self._news.append(item)
        self._loop.stop()

    def put_from_thread(self, item: Any) -> None:
        """Adds an item from any other thread; it is lost if the inbox has been closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.put, item)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs the loop until a coroutine has ended; what arrives meanwhile stays in the inbox."""
        task = self._loop.create_task(coroutine)
        task.add_done_callback(lambda _: self._loop.stop())
        while not task.done():
            self._loop.run_forever()
        return task.result()

    def poll(self, busy_s: float = 0.0) -> None:
        """Lets the streams move what can be moved now.

        One message takes several turns of the loop, between which gRPC has something to do. If there were one turn for
        each callback, a worker with long ones would read more slowly than its peers write, and fall behind for ever.

        Args:
            busy_s: For how long they could not move. As long as they do now, they may, but no longer than that.
        """
        patience_s = min(busy_s * PATIENCE, PATIENCE_S)
        began_s, moved_s = time.monotonic(), -math.inf
        while True:
            self._loop.stop()
            self._loop.run_forever()
            now_s = time.monotonic()
            if self._watched.moved:
                moved_s = now_s
            if now_s - moved_s >= patience_s or now_s - began_s >= busy_s:
                return

    def take(self) -> Any | None:
        """The oldest item, None if there is none."""
        return self._news.popleft() if self._news else None

    def wait(self, timeout_s: float | None = None) -> Any | None:
        """The oldest item; sleeps until there is one, or the time is up (None)."""
        if not self._news:
            timer = None if timeout_s is None else self._loop.call_later(timeout_s, self._loop.stop)
            self._loop.run_forever()
            if timer is not None:
                timer.cancel()
        return self.take()

    def ring(self, delay_s: float) -> None:
        """Ends one `wait` early, after so many seconds. While that is to come, another call changes nothing.

        Cheaper than a time-out for each `wait` where there are thousands of them a second.
        """
        if self._alarm is None:
            self._alarm = self._loop.call_later(delay_s, self._rang)

    def _rang(self) -> None:
        self._alarm = None
        self._loop.stop()

    def close(self) -> None:
        """Ends the loop; no stream may be open."""
        self._loop.close()


class Outbox(Generic[T]):
    """Messages on their way into one stream, in order."""

    __slots__ = ("_closed", "_messages", "_wanted")

    def __init__(self) -> None:
        self._messages: deque[T] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, message: T) -> None:
        """Adds a message."""
        self._messages.append(message)
        self._wake()

    def close(self) -> None:
        """`write_all` will end when it has written what is there."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    async def write_all(self, write: Callable[[T], Awaitable[None]]) -> None:
        """Writes one message after the other, as they come, until `close`."""
        messages = self._messages
        while messages or not self._closed:
            if not messages:
                self._wanted = asyncio.get_running_loop().create_future()
                await self._wanted
                self._wanted = None
            while messages:
                await write(messages.popleft())
