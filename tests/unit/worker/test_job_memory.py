"""What workers tell the leader, many times a second for months, takes no memory when it has been replaced."""

from __future__ import annotations

import os
from pathlib import Path

from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.history import Told, checkpoint_made
from limnad_worker.job import Job
from limnad_worker.vault import Vault
from tests.helpers.fake_engines import FakeHosts, run_job

STATUS = wire.Status(
    epoch=7,
    stages=[wire.StageCounters(rows_in=1, frontier=[wire.Time(coordinates=[7])]) for _ in range(10)],
    measures=wire.Measures(gc_pause=wire.Histogram(counts=range(20))),
)


def resident_bytes() -> int:
    """Of this process, not of what Python knows of: messages lie beside it."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_statuses_that_were_replaced_take_no_memory(tmp_path: Path) -> None:
    async def test(job: Job, hosts: FakeHosts) -> None:
        async def tell(times: int) -> None:
            for _ in range(times):
                await hosts.engines[0].say(status=STATUS)

        await tell(2_000)
        before = resident_bytes()
        await tell(10_000)
        assert resident_bytes() - before < 4 << 20
        assert job.snapshot().workers[0].epoch == 7

    run_job(Vault(f"dir:{tmp_path}", "job", keep=3), test)


def test_what_is_told_of_checkpoints_that_are_long_gone_takes_no_memory() -> None:
    told = Told()

    def make(checkpoints: range) -> None:
        for number in checkpoints:
            del told.view.checkpoint_phases[:]
            told.view.checkpoint_phases.extend(wire.CheckpointPhases(stop_us=number + each) for each in range(5))
            checkpoint_made(told.view, number, 1)
            told.renew()

    make(range(5_000))
    before = resident_bytes()
    make(range(5_000, 25_000))
    assert resident_bytes() - before < 4 << 20
    shown = jobs_pb2.JobView()
    told.show(shown)
    assert [each.checkpoint for each in shown.checkpoint_history] == list(range(24_900, 25_000))
    assert len(shown.checkpoint_phases) == 5
