"""A loop without rows: every trip is a global barrier, because a notification waits for all workers."""

import time as clock
from typing import Any

import limnad


class Barrier(limnad.Vertex):
    """Asks for one notification after the other, and measures from one to the next."""

    stateless = True

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._times_s: list[float] = []

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self.notify_at(time)

    def on_notify(self, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_notify`."""
        self._times_s.append(clock.perf_counter())
        if time[1] < self._rounds:
            self.notify_at((time[0], time[1] + 1))
        else:
            self.send_by(1, [(self.worker, self._times_s)], time)


def job(flow: limnad.Flow, rounds: int) -> None:
    """One epoch, one row to each worker to begin with."""
    loop = flow.loop("empty")
    start = loop.enter(flow.values([[0]]))
    feedback = loop.feedback(start)
    again, done = flow.vertex(
        lambda: Barrier(rounds), start.concat(feedback.stream).broadcast(), name="barrier", outputs=2
    )
    feedback.connect(again)
    loop.leave(done.to_worker(0)).output("times")
