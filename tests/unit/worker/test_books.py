"""What a leader does to its store that was stopped in the middle of it, and goes on when another one leads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from limnad.cluster.registry import Deposed, JobRecord
from limnad.store import Conflict, open_store
from limnad_worker import books as module
from limnad_worker.books import Books


def job(url: str) -> JobRecord:
    """One that has ended, and keeps checkpoints."""
    return JobRecord(term=0, job="etl", number=1, request=b"", store=url, space="etl", view=b"ended")


async def succeed(url: str, archive: Path) -> None:
    """Another leader takes over, finishes what was begun, and the name and the archive are another job's."""
    second = Books(url, "second")
    _, records = await second.take_lead()
    for record in records:
        await second.forget(record)
    await second.forget_archive("digest")
    await second.put_archive("digest", archive)
    await second.save(job(url))
    store = open_store(url)
    store.job("etl").chunks.put(b"of the next job", mark=1)
    store.close()
    await second.close()


def assert_whole(url: str) -> None:
    """All that `succeed` has left is there."""
    store = open_store(url)
    assert store.ledger.get("job/etl") is not None
    assert store.ledger.get("archive/digest") is not None
    assert len(store.job("etl").chunks.refs()) == len(store.chunks.refs()) == 1
    store.close()


@pytest.mark.parametrize("step", ["begin_erasing", "erase"])
def test_a_leader_that_is_stopped_in_a_deletion_takes_nothing_of_the_next_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    url, archive = f"dir:{tmp_path / 'store'}", tmp_path / "job.zip"
    archive.write_bytes(b"files")
    go_on = getattr(module, step)

    def stopped(*arguments: Any) -> Any:
        monkeypatch.undo()
        asyncio.run(succeed(url, archive))
        return go_on(*arguments)

    async def test() -> None:
        first = Books(url, "first")
        await first.take_lead()
        await first.save(job(url))
        monkeypatch.setattr(module, step, stopped)
        with pytest.raises((Deposed, Conflict)):
            await first.forget(job(url))
        with pytest.raises(Deposed):
            await first.forget_archive("digest")
        await first.close()

    asyncio.run(test())
    assert_whole(url)


def test_a_leader_that_is_stopped_while_it_forgets_an_archive_takes_nothing_of_the_next_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, archive = f"dir:{tmp_path / 'store'}", tmp_path / "job.zip"
    archive.write_bytes(b"files")
    loads = json.loads

    def stopped(text: Any) -> Any:
        monkeypatch.undo()
        asyncio.run(succeed(url, archive))
        return loads(text)

    async def test() -> None:
        first = Books(url, "first")
        await first.take_lead()
        await first.put_archive("digest", archive)
        monkeypatch.setattr(json, "loads", stopped)
        with pytest.raises(Conflict):
            await first.forget_archive("digest")
        await first.close()

    asyncio.run(test())
    assert_whole(url)
