"""The newest prints are kept, in order, and who follows gets them once."""

from __future__ import annotations

import asyncio

import pytest

from limnad_worker import logs
from limnad_worker.logs import JobLog, Printed


async def texts(log: JobLog, *, follow: bool = False) -> list[bytes]:
    return [piece.text async for piece in log.read(follow=follow)]


def test_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_BYTES", 3)
    log = JobLog()
    for text in (b"a", b"b", b"c", b"d", b"long"):
        log.add(Printed(1, 0, text))
    assert asyncio.run(texts(log)) == [b"long"]


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
    monkeypatch.setattr(logs, "KEPT_BYTES", 2)

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
