"""Generations of a job that are begun while others are, or while the job ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from limnad.cluster import leader
from limnad.store import Conflict, Full, Unavailable
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker import steering
from limnad_worker.feeding import Refused
from limnad_worker.job import Job
from limnad_worker.vault import Begun, Vault
from tests.helpers.fake_engines import FakeHosts, run_job, until


class Slow(Vault):
    """A store that a test can make slow, or away.

    Attributes:
        before: Called with the name of what is to be done.
        closed: Set when it was closed.
    """

    before: Callable[[str], Awaitable[None]] | None = None

    def __init__(self, url: str, space: str, keep: int) -> None:
        super().__init__(url, space, keep)
        self.closed = asyncio.Event()

    async def close(self) -> None:
        await super().close()
        self.closed.set()

    def hold(self, what: str) -> tuple[asyncio.Event, asyncio.Event]:
        """From now on that waits: set when it is about to be done, and to be set for it to go on."""
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def wait(next_one: str) -> None:
            if next_one == what:
                reached.set()
                await go_on.wait()

        self.before = wait
        return reached, go_on

    async def _wait(self, what: str) -> None:
        if self.before is not None:
            await self.before(what)

    async def begin_generation(self) -> Begun:
        await self._wait("begin generation")
        return await super().begin_generation()

    async def put(self, datas: Sequence[bytes], mark: int) -> list[str]:
        await self._wait("put")
        return await super().put(datas, mark)

    async def roll_back(self, number: int) -> tuple[int, ...]:
        await self._wait("roll back")
        return await super().roll_back(number)


@pytest.fixture
def vault(tmp_path: Path) -> Slow:
    return Slow(f"dir:{tmp_path}", "job", keep=2)


def again(vault: Slow) -> Vault:
    return Vault(vault.url, vault.space, vault.keep)


def test_a_generation_that_is_begun_beside_another_one_takes_its_place(
    vault: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken link is reported, and before its cause is known the job is rescaled; then the store is slow."""

    async def test(job: Job, hosts: FakeHosts) -> None:
        beginning, go_on = vault.hold("begin generation")
        broken = wire.Failed(summary="a stream broke", fault=leader.Fault.LINK.value)
        await hosts.engines[0].say(failed=broken)
        rescaling = asyncio.create_task(steering.rescale(job, 2))
        await beginning.wait()
        monkeypatch.setattr(leader, "BLAME_S", 0.0)  # Nothing else has explained the broken link.
        await job.tell_leader(leader.Tick())
        go_on.set()
        await rescaling
        assert [engine.heard[:2] for engine in hosts.alive] == [["prepare", "start"]] * 2
        assert job.workers == len(job.told.statuses) == 2

    run_job(vault, test)


def test_a_job_that_is_cancelled_when_it_was_to_be_rescaled_is_cancelled(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        async def cancel() -> None:
            await job.checkpoint()
            await job.cancel()

        cancelling = asyncio.create_task(cancel())
        rescaling = asyncio.create_task(steering.rescale(job, 2))
        await cancelling
        with pytest.raises(Refused, match="cancelled"):
            await rescaling
        assert job.snapshot().state == jobs_pb2.JOB_STATE_CANCELLED
        assert not hosts.alive

    run_job(vault, test)


def test_a_job_that_is_cancelled_between_a_loss_and_its_restart_is_cancelled(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        del hosts
        await job.tell_leader(leader.Exited(0, "was killed"))
        await job.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert job.snapshot().state == jobs_pb2.JOB_STATE_CANCELLED

    run_job(vault, test)


def test_what_was_to_be_gone_back_to_is_gone_back_to_when_the_store_is_there_again(
    vault: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limnad_worker.job.STORE_RETRY_S", 0.01)

    async def test(job: Job, hosts: FakeHosts) -> None:
        del hosts
        away = ["once"]

        async def fail(what: str) -> None:
            if what == "roll back" and away:
                away.pop()
                raise Unavailable("the store is away")

        assert [await job.checkpoint(), await job.checkpoint()] == [1, 2]
        vault.before = fail
        await steering.restore(job, 1, 0, again(vault))
        assert not away
        assert job.view.checkpoint == 1
        assert await vault.numbers() == (1,)

    run_job(vault, test)


def test_a_checkpoint_that_is_deleted_before_it_is_gone_back_to_takes_none_with_it(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        del hosts

        async def delete(what: str) -> None:
            if what == "begin generation":
                await vault.retain([3])

        assert [await job.checkpoint() for _ in range(3)] == [1, 2, 3]
        vault.keep = 1
        vault.before = delete
        with pytest.raises(Refused, match="no checkpoint 2; it has: 3"):
            await steering.restore(job, 2, 0, again(vault))
        assert job.is_running
        assert await vault.numbers() == (3,)

    run_job(vault, test)


def test_a_deposed_leader_that_takes_a_generation_all_the_same_does_not_end_the_job(vault: Slow) -> None:
    """It asks whether it leads before and afterwards: in between somebody else may have taken over."""

    async def test(job: Job, hosts: FakeHosts) -> None:
        earlier = await again(vault).begin_generation()
        assert await job.checkpoint() == 1
        assert job.generation == earlier.generation + 1
        assert [engine.heard[:2] for engine in hosts.alive] == [["prepare", "start"]]

    run_job(vault, test)


def test_a_leader_whose_generation_is_snatched_by_an_earlier_one_takes_another(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        del hosts
        faster = ["once"]

        async def snatch(what: str) -> None:
            if what == "begin generation" and faster:
                faster.pop()
                raise Conflict("another leader was faster")

        vault.before = snatch
        await job.tell_leader(leader.Exited(0, "was killed"))
        await until(job, lambda: job.is_running)
        assert not faster

    run_job(vault, test)


def test_a_run_whose_store_another_run_has_taken_ends(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        hosts.succeeds = False
        await again(vault).begin_generation()
        with pytest.raises(Refused, match="failed"):
            await job.checkpoint()
        assert "belongs to generation 2, not to 1" in job.view.failure.summary

    run_job(vault, test)


@pytest.mark.parametrize("problem", [Unavailable("no answer"), Full("no room is left")])
def test_a_job_whose_store_is_full_or_away_begins_when_that_is_over(
    problem: Exception, vault: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limnad_worker.job.STORE_RETRY_S", 0.01)

    async def test(job: Job, hosts: FakeHosts) -> None:
        del hosts
        wrong = [problem, problem]

        async def fail(what: str) -> None:
            if what == "begin generation" and wrong:
                raise wrong.pop()

        vault.before = fail
        await job.tell_leader(leader.Exited(0, "was killed"))
        await until(job, lambda: job.is_running or job.state.ended)
        assert not wrong
        assert job.is_running

    run_job(vault, test)


def test_a_checkpoint_keeps_what_its_own_generation_has_put_out(vault: Slow) -> None:
    """That of the generation before was about to be stored for a checkpoint that came to nothing."""

    async def test(job: Job, hosts: FakeHosts) -> None:
        await hosts.engines[0].publish("out", b"of the first")
        putting, go_on = vault.hold("put")
        asked = asyncio.create_task(job.checkpoint())
        await putting.wait()
        await job.tell_leader(leader.Exited(0, "was killed"))
        await until(job, lambda: job.is_running)
        await hosts.engines[1].publish("out", b"of the second")
        go_on.set()
        record = await vault.read(await asked)
        (kept,) = record.outputs
        assert kept.blob is not None
        assert await vault.get([kept.blob.chunk]) == [b"of the second"]

    run_job(vault, test, delivery="committed")


def test_a_job_that_is_cancelled_while_it_waits_for_its_store_ends_in_silence(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        beginning, go_on = vault.hold("begin generation")
        await job.tell_leader(leader.Exited(0, "was killed"))
        await beginning.wait()
        await job.cancel()
        await vault.closed.wait()
        go_on.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert job.snapshot().state == jobs_pb2.JOB_STATE_CANCELLED
        assert not hosts.failures

    run_job(vault, test)


def test_a_job_that_is_cancelled_while_a_checkpoint_is_stored_ends_in_silence(vault: Slow) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        await hosts.engines[0].publish("out", b"rows")
        putting, go_on = vault.hold("put")
        asked = asyncio.create_task(job.checkpoint())
        await putting.wait()
        await job.cancel()
        await vault.closed.wait()
        go_on.set()
        with pytest.raises(Refused, match="cancelled"):
            await asked
        for _ in range(10):
            await asyncio.sleep(0)
        assert not hosts.failures

    run_job(vault, test)
