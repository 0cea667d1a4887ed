"""Cost per unit of work as something grows: it must not grow with it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import limnad
from benchmarks.harness import Aim, Better, Growth, Row, Settings, in_turn
from benchmarks.in_process import Repeated, drain, make_worker, run_s, seconds
from benchmarks.operators import Drop, PassOn
from limnad.connectors.hand import HandReader
from limnad.connectors.lists import ListSource

FLAT = Aim(at_most=2)
NOTE = "Scaling: microseconds per unit, one worker in this process, against the smallest size of the same row."


class Trips(limnad.Vertex):
    """Sends what comes round once more, so many times."""

    def __init__(self, trips: int) -> None:
        self._trips = trips

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self.send_by(int(time[-1] >= self._trips), batch, time)


class Wait(limnad.Vertex):
    """Is notified of every epoch."""

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self.notify_at(time)

    def on_notify(self, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_notify`."""
        self.send_by(0, [time[0]], time)


def rows(settings: Settings) -> Iterable[Row]:
    """Loop trips, stages, epochs in flight."""
    yield from growth(settings, "loop trips", {size: _trips(size) for size in (1_000, 10_000, 100_000)}, NOTE)
    yield from growth(
        settings, "stages, per batch and stage", {size: _stages(size) for size in (25, 50, 100, 200)}, NOTE
    )
    yield from growth(settings, "epochs in flight", {size: _epochs(size) for size in (10, 100, 1_000, 4_000)}, NOTE)


def growth(
    settings: Settings, what: str, sides: Mapping[int, Callable[[], float]], note: str, aim: Aim | None = FLAT
) -> Iterable[Row]:
    """Each size against the smallest."""
    first, *others = sides
    for side in sides.values():
        side()  # Python specialises the code that it runs for the first time.
    measured = in_turn(settings.runs, {str(size): side for size, side in sides.items()})
    for size in others:
        work, against = f"{size:,} {what}", f"{first:,}"
        ours, theirs = measured[str(size)], measured[str(first)]
        yield Row(work, against, "us", ours, theirs, Better.LESS, aim=aim, note=note, growth=Growth(what, size, first))


def _trips(trips: int) -> Callable[[], float]:
    def job(flow: limnad.Flow) -> None:
        loop = flow.loop()
        start = loop.enter(flow.values([[0]]))
        feedback = loop.feedback(start)
        again, out = flow.vertex(lambda: Trips(trips), start.concat(feedback.stream), name="trips", outputs=2)
        feedback.connect(again)
        flow.vertex(Drop, loop.leave(out), outputs=0)

    return lambda: run_s(job) / trips * 1e6


def _stages(stages: int) -> Callable[[], float]:
    batches = 10_000 // stages

    def job(flow: limnad.Flow) -> None:
        stream = flow.read(Repeated([0], batches), "rows")
        for _ in range(stages):
            stream = flow.vertex(PassOn, stream)
        flow.vertex(Drop, stream, outputs=0)

    return lambda: run_s(job) / batches / stages * 1e6


def _epochs(epochs: int) -> Callable[[], float]:
    """One input stays in epoch 0 while another one goes on, so that all epochs wait; then it closes."""

    def job(flow: limnad.Flow) -> None:
        slow = flow.input("slow")
        fast = flow.read(ListSource([[[number] for number in range(epochs)]]), "fast")
        flow.vertex(Drop, flow.vertex(Wait, slow.concat(fast)), outputs=0)

    def per_epoch_us() -> float:
        worker = make_worker(job)

        def whole() -> None:
            drain(worker)
            slow = worker.inputs.reader("slow")
            assert isinstance(slow, HandReader)
            slow.close()
            worker.wake()
            drain(worker)

        took_s = seconds(whole)
        assert worker.finished
        return took_s / epochs * 1e6

    return per_epoch_us
