"""Limits of state: what is measured, who waits, and what a job that keeps too much is told."""

from typing import Any

import polars as pl
import pytest

from limnad import FrameState, KeyedState, TimedBatches
from limnad.cluster.backpressure import Backpressure
from limnad.cluster.state_limits import StateFull, StateLimits
from limnad.cluster.worker import Worker
from limnad.testing import run, simulate
from tests.helpers.flows import FLOWS, in_order

ROWS = 10_000


def frame(rows: int = ROWS, start: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"key": range(start, start + rows)})


def test_timed_batches_weigh_what_was_added_and_is_not_gone() -> None:
    kept = TimedBatches(ports=2)
    assert kept.size_bytes() == 0
    kept.add((0,), 0, frame())
    kept.add((1,), 1, frame())
    assert kept.size_bytes() == 2 * 8 * ROWS
    kept.add((1,), 1, frame())
    assert kept.size_bytes() == 3 * 8 * ROWS
    kept.replace((1,), 1, frame(1))
    assert kept.size_bytes() == 8 * ROWS + 8
    kept.pop((0,))
    assert kept.size_bytes() == 8
    kept.pop((1,))
    assert kept.size_bytes() == 0


def test_keyed_state_weighs_about_what_its_values_do() -> None:
    state = KeyedState[int, str]("state")
    assert state.size_bytes() == 0
    state.update((number, "x" * 1_000) for number in range(1_000))
    assert 1_000_000 < state.size_bytes() < 2_000_000
    for number in range(500):
        del state[number]
    assert 500_000 < state.size_bytes() < 1_000_000


def test_frame_state_weighs_its_rows_and_their_hashes() -> None:
    state = FrameState("state", {"key": pl.Int64}, "key")
    state.put(frame())
    once = state.size_bytes()
    assert 2 * 8 * ROWS <= once < 4 * 8 * ROWS
    state.put(frame(start=ROWS))
    assert 1.5 * once < state.size_bytes() < 3 * once
    state.delete(frame(2 * ROWS))
    assert len(state.to_frame()) == 0


def test_who_is_full_has_all_sources_wait_until_nothing_is_under_way() -> None:
    here, there = Backpressure(peers=[1]), Backpressure(peers=[0])
    there.full = True
    (ack,) = there.acks(own_queued_bytes=0, idle=True)
    assert not here.must_wait(own_queued_bytes=1)
    here.acknowledged(1, ack.received, ack.queued_bytes, full=ack.full)
    for pressure in (here, there):
        assert pressure.must_wait(own_queued_bytes=1)
        assert not pressure.must_wait(own_queued_bytes=0)
    there.full = False
    (ack,) = there.acks(own_queued_bytes=0, idle=False)
    here.acknowledged(1, ack.received, ack.queued_bytes, full=ack.full)
    assert not here.must_wait(own_queued_bytes=1)


def limited(limits: StateLimits) -> type[Worker]:
    class Limited(Worker):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["limits"] = limits
            super().__init__(*arguments, **options)

        def step(self) -> bool:
            self.measure_state()
            return super().step()

    return Limited


@pytest.mark.parametrize("name", FLOWS)
def test_a_job_beyond_its_soft_limit_comes_to_the_same_end(name: str) -> None:
    flow, epochs = FLOWS[name]
    expected = in_order(run(flow, {"numbers": epochs}, workers=1).outputs)
    for seed in range(5):
        simulation, _ = simulate(
            flow, {"numbers": epochs}, workers=3, seed=seed, make_worker=limited(StateLimits(soft_bytes=0))
        )
        simulation.run(max_ticks=50_000)
        assert in_order(simulation.published) == expected


def test_a_job_beyond_its_hard_limit_fails_and_names_its_largest_stages() -> None:
    flow, epochs = FLOWS["kept"]
    simulation, _ = simulate(flow, {"numbers": epochs}, workers=2, make_worker=limited(StateLimits(hard_bytes=64)))
    with pytest.raises(StateFull, match=r"worker \d holds .* MB of state, and may hold .* largest stages there are '"):
        simulation.run(max_ticks=50_000)


def test_limits_at_which_nothing_happens() -> None:
    assert not StateLimits().is_full({"a": 1 << 40}, worker=0)
    assert not StateLimits(10, 20).is_full({"a": 5, "b": 5}, worker=0)
    assert StateLimits(10, 20).is_full({"a": 5, "b": 6}, worker=0)
