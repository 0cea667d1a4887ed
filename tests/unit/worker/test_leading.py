"""Jobs that are submitted, and what the registry has of them, when leader or store is away at the wrong moment."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from limnad.cluster import leader as machine
from limnad.cluster.feeding import Push
from limnad.cluster.registry import JobRecord
from limnad.store import Unavailable, open_store
from limnad.store.directory_log import DirectoryLog
from limnad_proto.v1 import control_pb2, hosts_pb2, jobs_pb2
from limnad_worker import roster, stored, vault
from limnad_worker.archives import Archives
from limnad_worker.books import Books
from limnad_worker.entries import AskAgain
from limnad_worker.feeding import Refused
from limnad_worker.hosts import Hosts
from limnad_worker.jobs import JobService
from limnad_worker.leading import Leader
from limnad_worker.registry import JOB, Registry
from limnad_worker.vault import Vault


class NoHost:
    """A host whose engines never come."""

    leader = ""
    say: Any = None

    def tell(self, message: hosts_pb2.ToHost) -> None:
        """See `Host.tell`."""


async def led(folder: Path, uid: str) -> Leader:
    """A leader that has taken the lead in the store of that folder."""
    info = hosts_pb2.HostInfo(uid=uid, slots=1)
    hosts = Hosts(host="", build="", uid=uid, expected=1, warm=0, spares=0)
    books = Books(f"dir:{folder / 'store'}", uid)
    leader = Leader(info, cast(Any, NoHost()), hosts, Archives(folder / uid, books), books, accept_paths=True)
    leader.hosts.keep(leader._take_lead(books))
    await eventually(lambda: not leader._not_leading)
    return leader


async def eventually(holds: Callable[[], bool]) -> None:
    """Waits for something that nobody tells of."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it does not come about")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


def registered(folder: Path) -> dict[str, JobRecord]:
    """What the registry says of each job."""
    store = open_store(f"dir:{folder / 'store'}")
    held = [store.ledger.get(key) for key in store.ledger.keys(JOB)]
    store.close()
    records = [JobRecord.decode(record.value) for record in held if record is not None]
    return {record.job: record for record in records}


REQUEST = jobs_pb2.SubmitRequest(path="job.py", workers=1, request_id="once")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("roster", "submitting", "leading", "job"):
        monkeypatch.setattr(f"limnad_worker.{module}.STORE_RETRY_S", 0.01)


class Away:
    """Stores that a test can take away, by what their URLs end with, and bring back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[str] = set()

        def opened(url: str) -> Any:
            if any(url.endswith(name) for name in self.names):
                raise Unavailable("nobody answers there")
            return open_store(url)

        monkeypatch.setattr(vault, "open_store", opened)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(monkeypatch)


async def listed(leader: Leader) -> list[jobs_pb2.JobView]:
    """What a client is told of all jobs."""
    return list((await JobService(leader).List(jobs_pb2.ListRequest(), cast(Any, Call()))).jobs)


def test_a_job_whose_own_store_is_away_is_listed_with_the_others_and_says_so(tmp_path: Path, away: Away) -> None:
    own = jobs_pb2.SubmitRequest(
        path="own.py", workers=3, owner="LimnadJob a/b", request_id="own", store=f"dir:{tmp_path / 'own'}"
    )

    async def test() -> None:
        first = await led(tmp_path, "first")
        lonely = await first.submit(own)
        fine = await first.submit(REQUEST)
        await first.stop()
        away.names.add("own")
        second = await led(tmp_path, "second")
        await eventually(lambda: second.job(lonely.name).waits_for_store)
        told, waiting = await listed(second)
        assert (told.job, told.waiting) == (fine.name, "")
        assert waiting.state == jobs_pb2.JOB_STATE_RECOVERING
        assert (waiting.job, waiting.owner, waiting.width) == (lonely.name, own.owner, 3)
        assert waiting.waiting == "the job begins when its store is no longer away: nobody answers there"
        # It is no job that is lost: the same request is answered with it, and its place is its own.
        assert await second.submit(own) is second.job(lonely.name)
        own.request_id = "another"
        with pytest.raises(Refused, match=f"the job {lonely.name} works in dir:.* as 'own'"):
            await second.submit(own)
        call = jobs_pb2.ListCheckpointsRequest(job=lonely.name)
        with pytest.raises(Aborted, match=r"UNAVAILABLE.*nobody answers there"):
            await JobService(second).ListCheckpoints(call, cast(Any, Call()))
        away.names.clear()
        await eventually(lambda: not second.job(lonely.name).waits_for_store)
        assert (await listed(second))[1].waiting == ""
        await second.stop()

    run(test)


async def succeeded_without_store(folder: Path, away: Away) -> tuple[Leader, str]:
    """A leader that has found a job whose own store is away; and the job's name."""
    first = await led(folder, "first")
    name = (await first.submit(REQUEST)).name
    await first.stop()
    away.names.add("store")
    second = await led(folder, "second")
    await eventually(lambda: second.job(name).waits_for_store)
    return second, name


def test_a_job_whose_own_store_is_away_can_be_cancelled(tmp_path: Path, away: Away) -> None:
    async def test() -> None:
        second, name = await succeeded_without_store(tmp_path, away)
        await JobService(second).Cancel(jobs_pb2.CancelRequest(job=name), cast(Any, Call()))
        assert [view.state for view in await listed(second)] == [jobs_pb2.JOB_STATE_CANCELLED]
        await second.stop()

    run(test)
    assert jobs_pb2.JobView.FromString(registered(tmp_path)["job-1"].view).state == jobs_pb2.JOB_STATE_CANCELLED


def test_a_leader_that_goes_does_not_wait_for_a_job_whose_store_is_away(tmp_path: Path, away: Away) -> None:
    async def test() -> None:
        second, _ = await succeeded_without_store(tmp_path, away)
        await second.leave()
        await second.stop()

    run(test)


class Lossy:
    """A registry whose saves come about, and whose answers are lost, as often as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.losses = 0
        save = Registry.save

        def saved(registry: Registry, record: JobRecord) -> None:
            put = registry._ledger.put

            class Ledger:
                def __getattr__(self, name: str) -> Any:
                    return getattr(held, name)

                def put(ledger: Any, *arguments: Any) -> Any:  # noqa: N805 - `self` is the registry's
                    version = put(*arguments)
                    if self.losses:
                        self.losses -= 1
                        raise Unavailable("the store did not answer")
                    return version

            held, registry._ledger = registry._ledger, cast(Any, Ledger())
            try:
                save(registry, record)
            finally:
                registry._ledger = held

        monkeypatch.setattr(Registry, "save", saved)


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> Lossy:
    return Lossy(monkeypatch)


def test_a_job_whose_client_was_told_of_a_failure_is_not_started_by_the_next_leader(
    tmp_path: Path, lossy: Lossy
) -> None:
    async def test() -> None:
        leader = await led(tmp_path, "first")
        lossy.losses = 1
        with pytest.raises(Unavailable):
            await leader.submit(REQUEST)
        assert not leader.jobs
        await eventually(lambda: not registered(tmp_path))
        assert (await leader.submit(REQUEST)).name == "job-2"
        await leader.stop()

    run(test)
    assert list(registered(tmp_path)) == ["job-2"]


def test_a_name_can_be_had_when_whether_it_was_taken_is_not_known(tmp_path: Path, lossy: Lossy) -> None:
    async def test() -> None:
        leader = await led(tmp_path, "first")
        named = jobs_pb2.SubmitRequest(path="job.py", workers=1, name="etl", request_id="named")
        lossy.losses = 1
        with pytest.raises(Unavailable):
            await leader.submit(named)
        assert (await leader.submit(named)).name == "etl"
        await leader.stop()
        assert not leader.deposed.is_set()

    run(test)
    assert registered(tmp_path)["etl"].number == 2


def test_an_answer_of_the_store_that_is_lost_deposes_nobody(tmp_path: Path, lossy: Lossy) -> None:
    """The record that was written is the leader's own: it is not another leader that has changed it."""

    async def test() -> None:
        leader = await led(tmp_path, "first")
        job = await leader.submit(REQUEST)
        lossy.losses = 1
        job.draining = True
        job.on_change()
        await eventually(lambda: not lossy.losses)
        await job.cancel()
        await leader.roster.settle(job)
        assert not leader.deposed.is_set()
        await leader.stop()

    run(test)
    assert jobs_pb2.JobView.FromString(registered(tmp_path)["job-1"].view).state == jobs_pb2.JOB_STATE_CANCELLED


def test_a_job_that_is_restored_is_not_forgotten_as_one_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "forgotten", lambda records: [each for each in records if each.view])

    async def test() -> None:
        leader = await led(tmp_path, "first")
        job = await leader.submit(REQUEST)
        monkeypatch.setattr(leader.roster, "_forget_old", _nothing)
        await job.cancel()
        await leader.roster.settle(job)
        monkeypatch.undo()
        monkeypatch.setattr(roster, "forgotten", lambda records: [each for each in records if each.view])
        job.revive(await asyncio.to_thread(Vault, f"dir:{tmp_path / 'store'}", job.name, 3))
        assert job.state is machine.State.STARTING
        await leader.roster._forget_old()
        assert leader.job(job.name) is job
        await leader.stop()

    run(test)


async def _nothing() -> None:
    pass


async def finished(folder: Path, **request: Any) -> str:
    """The name of a job that has put something out and finished, under a leader that is gone."""
    leader = await led(folder, "first")
    job = await leader.submit(jobs_pb2.SubmitRequest(path="job.py", workers=1, **request))
    job.view.outputs.add(name="out")
    await job._end(machine.State.FINISHED, None)
    await leader.roster.settle(job)
    await leader.stop()
    return job.name


def test_outputs_that_are_gone_with_their_leader_are_no_empty_ones(tmp_path: Path) -> None:
    async def test() -> None:
        name = await finished(tmp_path, ephemeral=True)
        leader = await led(tmp_path, "second")
        with pytest.raises(Refused, match="not kept any more"):
            await stored.recall_outputs(leader.entry(name), leader.roster)
        await leader.stop()

    run(test)


def test_outputs_that_cannot_be_read_now_are_no_empty_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        name = await finished(tmp_path)
        leader = await led(tmp_path, "second")
        monkeypatch.setattr(vault, "open_store", _away)
        with pytest.raises(Unavailable):
            await stored.recall_outputs(leader.entry(name), leader.roster)
        monkeypatch.undo()
        await stored.recall_outputs(leader.entry(name), leader.roster)
        await leader.stop()

    run(test)


def _away(*_: Any, **__: Any) -> Any:
    raise Unavailable("the store is away")


def test_an_archive_that_was_just_received_is_not_forgotten_with_an_older_job(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("job.py", "def job(flow): pass")

    async def pieces() -> AsyncIterator[bytes]:
        yield data.getvalue()

    async def test() -> None:
        leader = await led(tmp_path, "first")
        digest = await leader.archives.receive(pieces())
        older = await leader.submit(jobs_pb2.SubmitRequest(path="job.py", archive=digest, workers=1))
        assert await leader.archives.receive(pieces()) == digest
        await older.cancel()
        await leader.roster.delete(older)
        newer = await leader.submit(jobs_pb2.SubmitRequest(path="job.py", archive=digest, workers=1))
        await newer.cancel()
        await leader.roster.delete(newer)
        assert not await leader.archives.has(digest)
        await leader.stop()

    run(test)


class Aborted(Exception):
    """A call was ended by a status."""


class Call:
    """What a servicer is told of a call."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """See `grpc.aio.ServicerContext`."""
        return ()

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """See `grpc.aio.ServicerContext`."""
        raise Aborted(code.name, details)


async def pushed(leader: Leader, job: str, sequence: int) -> list[jobs_pb2.PushResponse]:
    """The answers to one push of a producer."""

    async def requests() -> AsyncIterator[jobs_pb2.PushRequest]:
        push = control_pb2.Push(input="rows", close=True)
        yield jobs_pb2.PushRequest(job=job, push=push, producer="p", sequence=sequence)

    return [answer async for answer in JobService(leader).Push(requests(), cast(Any, Call()))]


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_push_whose_answer_was_lost_with_the_leader_is_known_when_the_job_has_ended(
    tmp_path: Path, ephemeral: bool
) -> None:
    """A client closes its input; the job finishes; the leader dies before it has answered."""

    async def test() -> None:
        leader = await led(tmp_path, "first")
        job = await leader.submit(jobs_pb2.SubmitRequest(path="job.py", workers=1, ephemeral=ephemeral))
        job.view.inputs.append("rows")
        if not ephemeral:
            vault = await asyncio.to_thread(Vault, f"dir:{tmp_path / 'store'}", job.name, 3)
            await vault.append("rows", [Push(1, "p", 1, b"the end")], 1)
            await vault.close()
        await job._end(machine.State.FINISHED, None)
        await leader.roster.settle(job)
        await leader.stop()
        leader = await led(tmp_path, "second")
        request = jobs_pb2.LastSequenceRequest(job=job.name, input="rows", producer="p")
        if ephemeral:
            with pytest.raises(Aborted, match="the job has ended: it is finished"):
                await pushed(leader, job.name, 1)
        else:
            assert len(await pushed(leader, job.name, 1)) == 1
            assert (await JobService(leader).LastSequence(request, cast(Any, Call()))).sequence == 1
            with pytest.raises(Aborted, match="the job has ended: it is finished"):
                await pushed(leader, job.name, 2)
        await leader.stop()

    run(test)


def test_two_jobs_do_not_work_in_one_place(tmp_path: Path) -> None:
    """Each would take the place from the other, again and again."""

    async def test() -> None:
        leader = await led(tmp_path, "first")
        request = jobs_pb2.SubmitRequest(path="job.py", workers=1, store=f"dir:{tmp_path / 'own'}")
        first = await leader.submit(request)
        with pytest.raises(Refused, match=f"the job {first.name} works in dir:.* as 'job': choose another --name"):
            await leader.submit(request)
        await first.cancel()
        assert (await leader.submit(request)).name != first.name
        await leader.stop()

    run(test)


def test_a_job_that_was_half_forgotten_is_forgotten_by_the_next_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its name could not be had any more: the store holds what is left of it."""
    named = jobs_pb2.SubmitRequest(path="job.py", workers=1, name="etl")

    async def test() -> None:
        leader = await led(tmp_path, "first")
        job = await leader.submit(named)
        vault = await asyncio.to_thread(Vault, f"dir:{tmp_path / 'store'}", "etl", 3)
        await vault.append("rows", [Push(1, "p", 1, b"rows")], 1)
        await vault.close()
        await job.cancel()
        monkeypatch.setattr(DirectoryLog, "delete", _away)
        with pytest.raises(Unavailable):
            await leader.roster.delete(job)
        await leader.stop()
        leader = await led(tmp_path, "second")
        assert not await listed(leader)
        with pytest.raises(AskAgain, match="the job etl is being deleted"):
            await leader.submit(named)
        with pytest.raises(AskAgain, match="the job etl is being deleted"):
            leader.job("etl")
        monkeypatch.undo()
        await eventually(lambda: not leader.roster.going)
        assert not leader.jobs
        assert (await leader.submit(named)).name == "etl"
        await leader.stop()

    run(test)
    assert registered(tmp_path)["etl"].number == 3


def test_a_leader_that_was_deposed_deletes_nothing_and_says_whom_to_ask(tmp_path: Path) -> None:
    async def test() -> None:
        leader = await led(tmp_path, "first")
        job = await leader.submit(REQUEST)
        await job.cancel()
        await leader.roster.settle(job)
        second = await led(tmp_path, "second")
        with pytest.raises(Unavailable, match="another leader has taken over: ask it"):
            await leader.roster.delete(job)
        assert leader.deposed.is_set()
        assert [view.job for view in await listed(second)] == [job.name]
        await leader.stop()
        await second.stop()

    run(test)
    assert list(registered(tmp_path)) == ["job-1"]
