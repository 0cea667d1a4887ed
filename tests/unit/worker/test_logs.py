"""The newest prints are kept, in order, and who follows gets them once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from limnad_proto.v1 import control_pb2 as wire
from limnad_worker import logs
from limnad_worker.job import Job
from limnad_worker.logs import KEPT_BYTES, PIECE_BYTES, JobLog, Printed
from limnad_worker.vault import Vault
from tests.helpers.census import census
from tests.helpers.fake_engines import FakeHosts, run_job, until


async def texts(log: JobLog, *, follow: bool = False) -> list[bytes]:
    return [piece.text async for piece in log.read(follow=follow)]


def test_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_BYTES", 3 * (PIECE_BYTES + 1))
    log = JobLog()
    for text in (b"a", b"b", b"c", b"d", b"long" * PIECE_BYTES):
        log.add(Printed(1, 0, text))
    assert asyncio.run(texts(log)) == [b"long" * PIECE_BYTES]


def test_who_follows_gets_everything_until_the_end() -> None:
    async def follow() -> list[bytes]:
        log = JobLog()
        log.add(Printed(1, 0, b"before"))
        following = asyncio.ensure_future(texts(log, follow=True))
        await asyncio.sleep(0)
        log.add(Printed(1, 1, b"after"))
        await asyncio.sleep(0)
        log.close()
        return await following

    assert asyncio.run(follow()) == [b"before", b"after"]


def test_a_slow_reader_misses_what_was_dropped_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_BYTES", 2 * (PIECE_BYTES + 1))

    async def read() -> list[bytes]:
        log = JobLog()
        for text in (b"a", b"b"):
            log.add(Printed(1, 0, text))
        reading = log.read(follow=False)
        got = [(await anext(reading)).text]
        for text in (b"c", b"d"):
            log.add(Printed(1, 0, text))
        return got + [piece.text async for piece in reading]

    assert asyncio.run(read()) == [b"a", b"c", b"d"]


def test_who_follows_gets_what_comes_behind_the_news_that_all_have_finished(tmp_path: Path) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        following = asyncio.create_task(texts(job.log, follow=True))
        for engine in hosts.engines:
            await engine.say(finished=wire.Finished())
        await until(job, lambda: job.state.ended)
        for _ in range(5):
            await asyncio.sleep(0)
        for engine in hosts.engines:
            job.log.add(Printed(1, 0, b"last words"))
            engine.alive = False
        await job.notify()
        assert await following == [b"last words"]

    run_job(Vault(f"dir:{tmp_path}", "job", keep=3), test)


def test_many_small_pieces_do_not_take_more_memory_than_is_kept() -> None:
    log = JobLog()
    for _ in range(100_000):
        log.add(Printed(1, 0, b"."))
    assert census(log, "log")["log._pieces"] <= KEPT_BYTES // PIECE_BYTES


def test_nothing_is_left_of_those_who_hang_up() -> None:
    async def follow() -> int:
        log = JobLog()
        for _ in range(10):
            following = asyncio.ensure_future(texts(log, follow=True))
            await asyncio.sleep(0)
            following.cancel()
            await asyncio.wait([following])
        return len(log._waiting)

    assert asyncio.run(follow()) == 0
