"""The service: from Submit to the first output, and what Push takes."""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import grpc
import polars as pl

from benchmarks.harness import Better, Row, Settings, in_turn
from benchmarks.local_run import JOBS, limnad_run
from limnad.batch import encode
from limnad.client import Client, Input, Job
from limnad_proto.v1 import control_pb2, jobs_pb2
from tests.helpers.clusters import Agents

WORKERS = 2
FRAME_ROWS = 65_536
ROW_BYTES = 16

NOTE = (
    "Service: a cluster of one agent with 2 slots on this machine. Submit: seconds from `Client.submit` to the first "
    "epoch of an output, with warm engines; against `limnad run` of the same job, from its command to its end. Push: "
    "one input, frames of a megabyte one after the other, each acknowledged before the next; and single rows. "
    "`durable` is with a store in a directory, where an acknowledged push is on disk; `in a window` pushes single rows "
    "by `on_all`, which does not wait for each answer. The baseline is a bare grpcio "
    "stream in a process of its own, which answers each of the same messages and does nothing with it."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Submit, then Push with and without a store."""
    with tempfile.TemporaryDirectory() as folder, _bare() as echo:
        with _cluster(Path(folder) / "plain") as client:
            sides: dict[str, Callable[[], float]] = {"submit": partial(_first_output, client), "run": _whole_run}
            measured = in_turn(settings.runs, sides)
            yield Row(
                "submit to first output", "limnad run", "s", measured["submit"], measured["run"], Better.LESS, note=NOTE
            )
            yield from _pushes(settings, client, echo, "push")
        with _cluster(Path(folder) / "durable", "--store", f"dir:{folder}/store") as client:
            yield from _pushes(settings, client, echo, "push, durable", durable=True)


def _pushes(settings: Settings, client: Client, echo: str, work: str, *, durable: bool = False) -> Iterable[Row]:
    job = client.submit(str(JOBS / "fed.py"), workers=WORKERS)
    fed = job.input("rows")
    large, small = _frame(FRAME_ROWS), _frame(1)
    with Echo(echo) as bare:
        ways: dict[str, Callable[[pl.DataFrame], None]] = {"ours": fed.on_next, "bare": bare.send}
        frames, singles = settings.size(400, 20), settings.size(2000, 100)
        megabytes = in_turn(
            settings.runs, {name: partial(_megabytes_s, push, large, frames) for name, push in ways.items()}
        )
        took = in_turn(settings.runs, {name: partial(_median_us, push, small, singles) for name, push in ways.items()})
    many = in_turn(settings.runs, _fed_singles(fed, small, singles)) if durable else None
    fed.close()
    job.wait()
    yield Row(f"{work}: throughput", "bare grpcio", "MB/s", megabytes["ours"], megabytes["bare"], Better.MORE)
    if many is not None:
        yield Row(f"{work}, in a window", "one by one", "rows/s", many["window"], many["one by one"], Better.MORE)
    yield Row(f"{work}: acknowledgement", "bare grpcio", "us", took["ours"], took["bare"], Better.LESS)


def _fed_singles(fed: Input, frame: pl.DataFrame, count: int) -> dict[str, Callable[[], float]]:
    """Single rows a second: by `on_all`, and each acknowledged before the next."""

    def timed(feed: Callable[[], object]) -> float:
        began_s = time.perf_counter()
        feed()
        return count / (time.perf_counter() - began_s)

    def one_by_one() -> None:
        for _ in range(count):
            fed.on_next(frame)

    return {"window": lambda: timed(lambda: fed.on_all(repeat(frame, count))), "one by one": lambda: timed(one_by_one)}


def _frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"key": range(rows), "value": range(rows)}, schema={"key": pl.Int64, "value": pl.Int64})


def _megabytes_s(push: Callable[[pl.DataFrame], None], frame: pl.DataFrame, count: int) -> float:
    began_s = time.perf_counter()
    for _ in range(count):
        push(frame)
    return count * frame.height * ROW_BYTES / (time.perf_counter() - began_s) / 1e6


def _median_us(push: Callable[[pl.DataFrame], None], frame: pl.DataFrame, count: int) -> float:
    took_s = []
    for _ in range(count):
        began_s = time.perf_counter()
        push(frame)
        took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s) * 1e6


def _first_output(client: Client) -> float:
    began_s = time.perf_counter()
    job: Job = client.submit(str(JOBS / "small.py"), workers=WORKERS, ephemeral=True)
    next(iter(job.outputs()))
    took_s = time.perf_counter() - began_s
    job.wait()
    return took_s


def _whole_run() -> float:
    return limnad_run("small", WORKERS).wall_s


@contextmanager
def _cluster(folder: Path, *flags: str) -> Iterator[Client]:
    folder.mkdir()
    with Agents(1, "--slots", str(WORKERS), *flags, folder=folder).start(0) as agents:
        agents.gathered()
        with agents.client() as client:
            yield client


# -- bare grpcio -------------------------------------------------------------------------------------------------------


def serve(announce: Any) -> None:
    """Answers each message of a stream by an empty one; in a process of its own, as long as that lives."""
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    handler: Any = grpc.stream_stream_rpc_method_handler(lambda requests, _: (b"" for _ in requests))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Push", {"Push": handler}),))
    announce.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()


@contextmanager
def _bare() -> Iterator[str]:
    spawning = multiprocessing.get_context("spawn")
    heard, announce = spawning.Pipe(duplex=False)
    process = spawning.Process(target=serve, args=(announce,), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{heard.recv()}"
    finally:
        process.kill()
        process.join()


class Echo:
    """Sends what the client sends, and waits for each answer."""

    def __init__(self, address: str) -> None:
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])
        call: Any = self._channel.stream_stream("/bare.Push/Push")
        self._answers = call(iter(self._messages.get, None))

    def send(self, frame: pl.DataFrame) -> None:
        """One push."""
        _, payload = encode(frame)
        push = control_pb2.Push(input="rows", rows=control_pb2.Rows(encoding="ENCODING_FRAME", payload=payload))
        self._messages.put(jobs_pb2.PushRequest(job="job", push=push).SerializeToString())
        next(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._messages.put(None)
        self._channel.close()
