"""Checkpoints of frame state: into Redis against bare pipelined SETs, into a directory against one synced file."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, in_turn
from benchmarks.in_process import seconds
from limnad.store import Space, open_store
from limnad.store.windows import WINDOW_BYTES, windows
from tests.helpers.redis_server import RedisServer

STATE_BYTES = 1 << 30
SERVERS: dict[str, dict[str, str]] = {
    "Redis": {},
    "Redis, append-only": {"appendonly": "yes", "auto_aof_rewrite_percentage": "0"},
}
AIM = Aim(at_least=0.5)
WORDS = np.array([f"word-{number}" for number in range(50_000)])

NOTE = (
    "Store: megabytes a second of frame state (words, counts and sums as Arrow IPC) in chunks; Redis on the same "
    "machine, over a Unix socket. The baseline is redis-py alone with pipelined SETs, or MGETs, of the same chunks in "
    f"windows of the same {WINDOW_BYTES >> 20} MiB; ours also names each chunk by its digest, marks it, and checks the "
    "digest of what it reads. `compress=auto` decides by the measured speed of the store. In a directory the baseline "
    "is the least that a disk can be asked for: all chunks in one file with one sync."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Redis in memory and with its file, large and small chunks; a directory."""
    total = settings.size(STATE_BYTES, STATE_BYTES >> 5)
    for chunk_bytes in (1 << 20, 1 << 16):
        chunks = _chunks(total, chunk_bytes)
        for server, options in SERVERS.items():
            yield from _in_redis(settings, f"{server}, {chunk_bytes >> 10} KiB", options, chunks)
    for chunk_bytes, count in ((1 << 20, settings.size(256, 16)), (1 << 13, settings.size(2048, 128))):
        yield _in_directory(settings, _chunks(count * chunk_bytes, chunk_bytes))


def _chunks(total: int, chunk_bytes: int) -> list[bytes]:
    """Frames as they are in the state of an aggregation; no two are alike."""
    rng = np.random.default_rng(1)
    length = chunk_bytes // 32
    made = []
    for _ in range(total // chunk_bytes):
        counts = rng.integers(1, 1_000, length)
        frame = pl.DataFrame({"word": WORDS[rng.integers(0, 50_000, length)], "n": counts, "sum": rng.random(length)})
        buffer = io.BytesIO()
        frame.write_ipc_stream(buffer, compression="uncompressed")
        made.append(buffer.getvalue())
    return made


def _in_redis(settings: Settings, name: str, options: dict[str, str], chunks: Sequence[bytes]) -> Iterable[Row]:
    try:
        server = RedisServer(**options)
    except RuntimeError as error:
        raise Unavailable(str(error)) from error
    with server, server.client() as client, ExitStack() as stack:
        spaces = {}
        for kind in ("auto", "never", "always"):
            store = stack.enter_context(closing(open_store(f"{server.url}?compress={kind}")))
            spaces[kind] = store.job("job")
        yield from _puts(settings, name, server, client, spaces, chunks)
        yield from _gets(settings, name, server, client, spaces["never"], chunks)


def _puts(
    settings: Settings,
    name: str,
    server: RedisServer,
    client: Any,
    spaces: Mapping[str, Space],
    chunks: Sequence[bytes],
) -> Iterable[Row]:
    def emptied(work: Callable[[], object]) -> float:
        server.do("FLUSHALL")
        server.do("MEMORY", "PURGE")  # or who comes behind a smaller one pays for fresh pages, and the next does not
        return _rate(chunks, work)

    sides = {kind: partial(emptied, partial(space.chunks.put_many, chunks, mark=1)) for kind, space in spaces.items()}
    measured = in_turn(settings.runs, {"bare SET": partial(emptied, partial(set_all, client, chunks)), **sides})
    bare = measured.pop("bare SET")
    for kind, ours in measured.items():
        aim = AIM if kind == "auto" else None
        yield Row(f"put, {name}, compress={kind}", "bare SETs", "MB/s", ours, bare, Better.MORE, aim=aim, note=NOTE)


def _gets(
    settings: Settings, name: str, server: RedisServer, client: Any, space: Space, chunks: Sequence[bytes]
) -> Iterable[Row]:
    server.do("FLUSHALL")
    set_all(client, chunks)
    refs = space.chunks.put_many(chunks, mark=1)
    works: dict[str, Callable[[], object]] = {
        "bare SET": partial(set_all, client, chunks),
        "again": partial(space.chunks.put_many, chunks, mark=2),
        "bare MGET": partial(_mget, client, chunks),
        "get": lambda: sum(map(len, space.chunks.get_many(refs))),
    }
    measured = in_turn(settings.runs, {side: partial(_rate, chunks, work) for side, work in works.items()})
    again, bare = measured["again"], measured["bare SET"]
    yield Row(f"put what is there, {name}", "bare SETs", "MB/s", again, bare, Better.MORE)
    yield Row(f"get, {name}", "bare MGETs", "MB/s", measured["get"], measured["bare MGET"], Better.MORE, aim=AIM)


def _rate(chunks: Sequence[bytes], work: Callable[[], object]) -> float:
    return sum(map(len, chunks)) / seconds(work) / 1e6


def set_all(client: Any, chunks: Sequence[bytes]) -> None:
    """Pipelined SETs of redis-py alone."""
    for window in windows(enumerate(chunks), lambda pair: len(pair[1])):
        pipeline = client.pipeline(transaction=False)
        for number, chunk in window:
            pipeline.set(f"bare:{number}", chunk)
        pipeline.execute()


def _mget(client: Any, chunks: Sequence[bytes]) -> None:
    for window in windows(enumerate(chunks), lambda pair: len(pair[1])):
        got = client.mget([f"bare:{number}" for number, _ in window])
        assert len(got[0]) == len(window[0][1])


def _in_directory(settings: Settings, chunks: Sequence[bytes]) -> Row:
    folder = Path(tempfile.mkdtemp(prefix="limnad-bench-"))

    def ours() -> float:
        with closing(open_store(f"dir:{folder / 'store'}?compress=never")) as store:
            rate = _rate(chunks, partial(store.job("job").chunks.put_many, chunks, mark=1))
        shutil.rmtree(folder / "store")
        return rate

    def one_file() -> None:
        with (folder / "all").open("wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())

    measured = in_turn(settings.runs, {"ours": ours, "one file": partial(_rate, chunks, one_file)})
    shutil.rmtree(folder)
    work = f"put, directory, {len(chunks):,} chunks of {len(chunks[0]) >> 10} KiB"
    return Row(work, "one file, one fsync", "MB/s", measured["ours"], measured["one file"], Better.MORE)
