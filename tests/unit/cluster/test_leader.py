"""The leader's table, cell by cell."""

from __future__ import annotations

from limnad.cluster.leader import (
    BLAME_S,
    Attached,
    Built,
    Cancel,
    Changed,
    Conclude,
    Concluded,
    Exited,
    Failed,
    Failure,
    Fault,
    Finished,
    Kill,
    Run,
    SendPrepare,
    SendStart,
    SendStop,
    State,
    Tick,
)


def started(workers: int = 2) -> Run:
    run = Run(workers)
    for worker in range(workers):
        run.handle(Attached(worker, f"host:{worker}"), 0.0)
    for worker in range(workers):
        run.handle(Built(worker, "same", ("a",)), 0.0)
    return run


def test_a_run_from_start_to_end() -> None:
    run = Run(2)
    assert run.handle(Attached(1, "b"), 0.0) == []
    assert run.handle(Attached(0, "a"), 0.0) == [SendPrepare(0), SendPrepare(1)]
    assert run.handle(Built(0, "x", ()), 0.0) == []
    starts = run.handle(Built(1, "x", ()), 0.0)
    assert [effect for effect in starts if isinstance(effect, SendStart)] == [
        SendStart(0, ("a", "b"), run.accumulation),
        SendStart(1, ("a", "b"), run.accumulation),
    ]
    assert starts[-1] == Changed(State.RUNNING)
    assert run.handle(Finished(0), 1.0) == []
    assert run.handle(Finished(1), 1.0) == [SendStop(0), SendStop(1), Changed(State.FINISHED)]
    assert run.handle(Exited(0, "exited with code 0"), 2.0) == []
    assert run.failure is None


def test_with_a_store_a_run_ends_when_all_have_shown_what_the_last_checkpoint_covers() -> None:
    run = started()
    run.concludes = True
    assert run.handle(Finished(0), 1.0) == []
    assert run.handle(Finished(1), 1.0) == [Conclude()]
    assert run.handle(Concluded(1), 2.0) == []
    assert run.state is State.RUNNING
    assert run.handle(Concluded(0), 3.0) == [SendStop(0), SendStop(1), Changed(State.FINISHED)]


def test_who_dies_before_it_has_shown_what_the_last_checkpoint_covers_is_missed() -> None:
    run = started()
    run.concludes = True
    for worker in range(2):
        run.handle(Finished(worker), 1.0)
    run.handle(Concluded(1), 2.0)
    assert run.handle(Exited(0, "was ended by SIGKILL"), 3.0) == [Kill(1), Changed(State.FAILED)]


def test_what_comes_in_the_wrong_state_is_refused() -> None:
    starting = Run(2)
    assert [starting.handle(Finished(worker), 0.0) for worker in range(2)] == [[], []]
    assert starting.state is State.STARTING
    running = started()
    assert running.handle(Attached(0, "elsewhere:0"), 1.0) == []
    assert running.handle(Built(0, "other", ("b",)), 1.0) == []
    assert running.state is State.RUNNING


def test_different_flows_are_refused_with_the_stages_that_differ() -> None:
    run = Run(2)
    run.handle(Built(0, "x", ("a", "b")), 0.0)
    run.handle(Built(1, "y", ("a", "c")), 0.0)
    assert run.state is State.FAILED
    assert run.failure is not None
    assert "'b'" in run.failure.summary
    assert "'c'" in run.failure.summary


def test_a_death_is_blamed_even_if_its_broken_links_are_heard_of_first() -> None:
    run = started()
    assert run.handle(Failed(1, Failure(Fault.LINK, "the link to 0 broke", 1)), 5.0) == []
    effects = run.handle(Exited(0, "was ended by SIGKILL"), 5.1)
    assert effects == [Kill(1), Changed(State.FAILED)]
    assert run.failure is not None
    assert "worker 0 died while the job was running" in run.failure.summary


def test_a_broken_link_that_nothing_explains_fails_the_run() -> None:
    run = started()
    run.handle(Failed(1, Failure(Fault.LINK, "the link to 0 broke", 1)), 5.0)
    assert run.handle(Tick(), 5.0 + BLAME_S / 2) == []
    assert run.handle(Tick(), 5.0 + BLAME_S) == [Kill(0), Kill(1), Changed(State.FAILED)]
    assert run.failure is not None
    assert run.failure.fault is Fault.LINK


def test_cancel_ends_a_run_at_any_time() -> None:
    for run in (Run(2), started()):
        assert run.handle(Cancel(), 0.0) == [Kill(0), Kill(1), Changed(State.CANCELLED)]
        assert run.handle(Cancel(), 0.0) == []
