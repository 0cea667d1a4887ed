"""What whoever asks for a checkpoint is answered, whatever becomes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from limnad_proto.v1 import jobs_pb2
from limnad_worker.asking import GivenUp
from limnad_worker.entries import Entry
from limnad_worker.job import Job
from limnad_worker.jobs import JobService
from limnad_worker.pinning import pin, unpin
from limnad_worker.vault import Vault
from tests.helpers.fake_engines import FakeHosts, run_job


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(f"dir:{tmp_path}", "job", keep=3)


def test_who_asks_for_a_checkpoint_that_is_dropped_is_told_why(vault: Vault) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        async def full(_: int) -> None:
            raise OSError("the disk is full")

        hosts.storing = full
        with pytest.raises(GivenUp, match="the disk is full"):
            await job.checkpoint()

    run_job(vault, test)


def test_a_checkpoint_that_is_asked_for_begins_afterwards(vault: Vault) -> None:
    """One that is under way does not cover what has been done when another one is asked for."""

    async def test(job: Job, hosts: FakeHosts) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: int) -> None:
            begun.set()
            await go_on.wait()

        hosts.storing = slow
        first = asyncio.create_task(job.checkpoint())
        await begun.wait()
        second = asyncio.create_task(job.checkpoint())
        await asyncio.sleep(0)
        go_on.set()
        assert await first == 1
        assert await second == 2

    run_job(vault, test)


def test_a_checkpoint_that_is_dropped_concerns_only_those_who_asked_before_it_began(vault: Vault) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def first_fails(number: int) -> None:
            if number == 1:
                begun.set()
                await go_on.wait()
                raise OSError("the disk is full")

        hosts.storing = first_fails
        first = asyncio.create_task(job.checkpoint())
        await begun.wait()
        second = asyncio.create_task(job.checkpoint())
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(GivenUp, match="the disk is full"):
            await first
        assert await second == 2

    run_job(vault, test)


def test_who_asks_while_a_pin_holds_is_answered_when_it_is_gone(vault: Vault) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        del hosts
        assert await pin(job, "upgrade", hold=True) == 1
        asked = asyncio.create_task(job.checkpoint())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asked.done()
        unpin(job, "upgrade")
        assert await asked == 2

    run_job(vault, test)


class Service:
    """A leader with one job, as its service sees it."""

    def __init__(self, job: Job) -> None:
        self.roster = self
        self._entry = Entry(job, 1)

    def entry(self, _: str) -> Entry:
        return self._entry

    async def settle(self, _: Job) -> None:
        pass


def test_a_pin_whose_client_hung_up_and_asks_again_holds_at_the_newest_checkpoint(vault: Vault) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def second_is_slow(number: int) -> None:
            if number == 2:
                begun.set()
                await go_on.wait()

        async def twice() -> None:
            await job.checkpoint()
            await job.checkpoint()

        hosts.storing = second_is_slow
        service, call = JobService(cast(Any, Service(job))), cast(Any, None)
        request = jobs_pb2.PinRequest(job="job", name="upgrade", hold=True)
        others = asyncio.create_task(twice())
        await asyncio.sleep(0)
        pinning = asyncio.create_task(service.Pin(request, call))
        await begun.wait()
        pinning.cancel()
        await asyncio.wait([pinning])
        again = asyncio.create_task(service.Pin(request, call))
        await asyncio.sleep(0)
        go_on.set()
        assert (await again).checkpoint == 2
        await others
        assert [(each.checkpoint, each.hold) for each in job.snapshot().pins] == [(2, True)]

    run_job(vault, test)
