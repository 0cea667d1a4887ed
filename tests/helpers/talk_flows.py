"""The small flows of the golden scripts. A number goes to the worker that is its remainder: a reader can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from limnad import Flow, RecordStream, Timestamp, Vertex
from limnad.connectors.hand import HandFed, HandReader
from limnad.timely.source import Answer, Idle, Position, Rows


@dataclass(frozen=True)
class ByRemainder:
    """The number n goes to worker n mod workers."""

    replicates: bool = False

    def split(self, batch: list[int], workers: int) -> Iterable[tuple[int, list[int]]]:
        parts = [(worker, [n for n in batch if n % workers == worker]) for worker in range(workers)]
        return [(worker, part) for worker, part in parts if part]

    def describe(self) -> str:
        return "by remainder"


def spread(stream: RecordStream[int]) -> RecordStream[int]:
    return replace(stream, partition=ByRemainder())


class TellingReader(HandReader):
    """Writes down what it gives."""

    def __init__(self, heard: list[str], position: Position | None) -> None:
        super().__init__(None, position)
        self._heard = heard

    def read(self) -> Answer:
        answer = super().read()
        match answer:
            case Rows(epoch, None):
                self._heard.append(f"reads that epoch {epoch} begins")
            case Rows(epoch, batch):
                self._heard.append(f"reads {batch} of epoch {epoch}")
            case Idle():
                pass
            case _:
                self._heard.append("reads the end")
        return answer


class EachWorkers(HandFed):
    """A source that is fed by hand on each of the first ``partitions`` workers."""

    def __init__(self, partitions: int, heard: list[str]) -> None:
        super().__init__()
        self._partitions = partitions
        self._heard = heard

    def partitions(self) -> Sequence[str]:
        return [str(number) for number in range(self._partitions)]

    def open(self, partition: str, position: Position | None) -> HandReader:
        return TellingReader(self._heard, position)


class Keep(Vertex):
    """Takes numbers in."""

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        pass


class Ten(Vertex):
    """Sends on ten times what it gets, plus one."""

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        self.send_by(0, [10 * number + 1 for number in batch], time)


class Total(Vertex):
    """Adds up a time's numbers and asks to be told when there can be no more."""

    def __init__(self) -> None:
        self.totals: dict[Timestamp, int] = {}

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        if time not in self.totals:
            self.totals[time] = 0
            self.notify_at(time)
        self.totals[time] += sum(batch)

    def on_notify(self, time: Timestamp) -> None:
        self.send_by(0, [self.totals.pop(time)], time)

    def checkpoint(self) -> dict[Timestamp, int]:
        return dict(self.totals)

    def restore(self, state: dict[Timestamp, int]) -> None:
        self.totals = state


class Less(Vertex):
    """Port 0 goes round: each number less one. Port 1 leaves: those that have become 0."""

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        self.send_by(0, [number - 1 for number in batch if number > 0], time)
        self.send_by(1, [number for number in batch if number == 0], time)


def keep(flow: Flow, numbers: RecordStream[int]) -> None:
    flow.vertex(Keep, spread(numbers), outputs=0, name="keep")


def chain(flow: Flow, numbers: RecordStream[int]) -> None:
    tens = flow.vertex(Ten, spread(numbers), name="ten")
    flow.vertex(Keep, spread(tens), outputs=0, name="keep")


def total(flow: Flow, numbers: RecordStream[int]) -> None:
    totals = flow.vertex(Total, spread(numbers), name="total")
    flow.vertex(Keep, totals, outputs=0, name="keep")


def loop(flow: Flow, numbers: RecordStream[int]) -> None:
    around = flow.loop("trips")
    entered = around.enter(numbers)
    feedback = around.feedback(entered)
    again, left = flow.vertex(Less, spread(entered.concat(feedback.stream)), outputs=2, name="less")
    feedback.connect(again)
    around.leave(left).output("zeros")


def shown(_: Flow, numbers: RecordStream[int]) -> None:
    numbers.output("out")


Describe = Callable[[Flow, RecordStream[int]], None]
"""Describes a flow behind its one input."""

FLOWS: dict[str, Describe] = {"keep": keep, "chain": chain, "total": total, "loop": loop, "shown": shown}
