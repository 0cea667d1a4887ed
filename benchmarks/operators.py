"""What a stage costs per batch: chains of stages in one process, against the same Polars calls in a loop."""

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

import limnad
from benchmarks.harness import Better, Row, Settings, in_turn
from benchmarks.in_process import Repeated, run_s, seconds

CHAIN = 10
NEXT = pl.col("x") + 1
BATCHES = {1: 3000, 100_000: 200}

NOTE = (
    f"Overhead: microseconds per batch and stage of a chain of {CHAIN}, one worker in this process; what a chain of "
    "none costs is taken off. Each stage but `pass on` adds 1 to a column, by `with_columns`; so does the loop."
)


class PassOn(limnad.Vertex):
    """Does nothing."""

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self.send_by(0, batch, time)


class AddOne(limnad.Vertex):
    """Adds 1."""

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self.send_by(0, batch.with_columns(NEXT), time)


class Drop(limnad.Vertex):
    """The chain's end."""

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""


def rows(settings: Settings) -> Iterable[Row]:
    """For small and large batches, three kinds of stages."""
    for height, usual in BATCHES.items():
        frame = pl.DataFrame({"x": range(height)}, schema={"x": pl.Int64})
        times = settings.size(usual, usual // 10)
        sides = {
            "vertices that pass on": _side(frame, times, _vertices(PassOn)),
            "vertices with Polars": _side(frame, times, _vertices(AddOne)),
            "fused operators": _side(frame, times, _operators),
        }
        in_a_loop = {"Polars in a loop": lambda frame=frame, times=times: _loop_us(frame, times)}
        measured = in_turn(settings.runs, {**sides, **in_a_loop})
        theirs = measured["Polars in a loop"]
        for name in sides:
            work = f"{name}, {height:,} row{'s' if height > 1 else ''}"
            yield Row(work, "the same Polars in a loop", "us", measured[name], theirs, Better.LESS, note=NOTE)


Chain = Callable[[limnad.FrameStream, int], limnad.FrameStream]


def _side(frame: pl.DataFrame, times: int, chain: Chain) -> Callable[[], float]:
    def job(flow: limnad.Flow, length: int) -> None:
        source = Repeated(frame, times)
        end = chain(flow.read(source, "rows", frame.schema), length)
        flow.vertex(Drop, end, outputs=0)

    def per_batch_and_stage_us() -> float:
        whole_s, nothing_s = run_s(lambda flow: job(flow, CHAIN)), run_s(lambda flow: job(flow, 0))
        return (whole_s - nothing_s) / times / CHAIN * 1e6

    return per_batch_and_stage_us


def _vertices(kind: type[limnad.Vertex]) -> Chain:
    def chain(stream: limnad.FrameStream, length: int) -> limnad.FrameStream:
        for _ in range(length):
            stream = stream.flow.vertex(kind, stream, schemas=[stream.schema])
        return stream

    return chain


def _operators(stream: limnad.FrameStream, length: int) -> limnad.FrameStream:
    for _ in range(length):
        stream = stream.with_columns(NEXT)
    return stream


def _loop_us(frame: pl.DataFrame, times: int) -> float:
    def loop() -> None:
        for _ in range(times):
            batch = frame
            for _ in range(CHAIN):
                batch = batch.with_columns(NEXT)

    return seconds(loop) / times / CHAIN * 1e6
