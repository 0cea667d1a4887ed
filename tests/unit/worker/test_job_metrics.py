import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limnad.cluster import checkpoints as points
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker import job_metrics
from limnad_worker.job_metrics import CheckpointTimes, JobMetrics, Lag


def test_the_lag_is_that_of_the_first_epoch_that_is_not_complete() -> None:
    lag = Lag()
    lag.told(opened=1, frontier=0, now_s=10.0)
    lag.told(opened=3, frontier=0, now_s=12.0)
    assert (lag.epochs, lag.seconds(now_s=15.0)) == (3, 5.0)
    lag.told(opened=3, frontier=1, now_s=15.0)
    assert (lag.epochs, lag.seconds(now_s=15.0)) == (2, 3.0)
    lag.told(opened=3, frontier=None, now_s=16.0)
    assert (lag.frontier, lag.epochs, lag.seconds(now_s=20.0)) == (3, 0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=60))
def test_the_lag_is_what_remembering_everything_would_say(news: list[tuple[int, int]]) -> None:
    lag = Lag()
    opened_at: dict[int, float] = {}
    opened = frontier = 0
    for now_s, (more, done) in enumerate(news):
        opened_at |= {epoch: float(now_s) for epoch in range(opened, opened + more)}
        opened += more
        frontier = min(opened, frontier + done)
        lag.told(opened, frontier, float(now_s))
        expected = now_s + 1 - opened_at[frontier] if frontier < opened else 0.0
        assert (lag.epochs, lag.seconds(now_s + 1.0)) == (opened - frontier, expected)


def test_a_lag_that_lasts_does_not_take_more_and_more_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(job_metrics, "MOST_MARKS", 8)
    lag = Lag()
    for epoch in range(1, 1000):
        lag.told(opened=epoch, frontier=0, now_s=float(epoch))
    assert len(lag._marks) <= 8
    assert lag.seconds(now_s=1000.0) == 999.0


def test_each_phase_of_a_checkpoint_is_timed() -> None:
    clock = itertools.count(0, 1_000_000)
    times = CheckpointTimes(lambda: next(clock))
    engines = [
        {"stop_us": 1, "markers_us": 4, "stored_bytes": 3},
        {"markers_us": 5, "references_us": 2, "stored_bytes": 2},
    ]
    view = jobs_pb2.JobView(checkpoint_phases=[wire.CheckpointPhases(**engine) for engine in engines])
    begun: tuple[points.Effect, ...] = (points.Open(), points.Begin(1), points.Commit(1, ()))
    for effect, phase in zip(begun, ("opening", "storing", "committing"), strict=True):
        times.saw(effect, view)
        assert times.phase.value == phase
    times.saw(points.Announce(1), view)
    assert times.phase is points.Phase.IDLE
    assert {phase.value: sum(took.counts) for phase, took in times.phases.items()} == {
        "opening": 1,
        "storing": 1,
        "committing": 1,
    }
    assert (sum(times.whole.counts), times.halts.sum_ns, times.size_bytes, times.written_bytes) == (1, 7000, 5, 5)


def test_a_checkpoint_that_was_given_up_is_not_timed() -> None:
    times = CheckpointTimes()
    view = jobs_pb2.JobView()
    for effect in (points.Open(), points.Begin(1), points.Drop(1, "why"), points.Abort(1)):
        times.saw(effect, view)
    assert times.phase is points.Phase.IDLE
    assert sum(times.whole.counts) == sum(times.phases[points.Phase.STORING].counts) == 0


def test_the_frontier_of_a_job_is_that_of_the_worker_that_is_behind() -> None:
    told = JobMetrics(lambda: None)
    told.begin(workers=2)
    assert not told.frontier_known
    told.told(0, wire.Status(epoch=4, epochs_opened=6, frontiers_known=True))
    told.told(1, wire.Status(epoch=3, epochs_opened=5, frontiers_known=True))
    assert (told.lag.frontier, told.lag.opened) == (3, 6)
    told.begin(workers=2)
    assert not told.frontier_known


def test_measures_do_not_go_on_to_clients() -> None:
    told = JobMetrics(lambda: None)
    told.begin(workers=1)
    status = wire.Status(measures=wire.Measures(cpu_us=3))
    told.told(0, status)
    assert not status.HasField("measures")
    assert told.measures[0].cpu_us == 3
