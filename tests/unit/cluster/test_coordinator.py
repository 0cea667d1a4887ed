"""What a coordinator remembers of generations that are over."""

import pytest

from limnad.cluster import coordinator as module
from limnad.cluster.coordinator import Coordinator, Refused, Ticket
from limnad.cluster.effects import Progress
from tests.helpers.census import census


def lived(coordinator: Coordinator, job: str, generation: int = 1) -> None:
    """A generation of two workers, killed in the middle of its work."""
    coordinator.assign(job, generation, workers=2)
    tickets = [Ticket(coordinator.identity, job, generation, worker) for worker in range(2)]
    accumulators = [coordinator.attach(ticket) for ticket in tickets]
    for worker, accumulator in enumerate(accumulators):
        accumulator.arrived(worker, Progress(0, [(0, (epoch,), 1) for epoch in range(100)], 100))
    for ticket in tickets:
        coordinator.left(ticket)


def test_nothing_is_kept_of_jobs_whose_workers_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OVER_KEPT", 10)
    coordinator = Coordinator("one")
    for number in range(50):
        lived(coordinator, f"job {number}")
    assert census(coordinator, "coordinator") == {"coordinator._over": 10}
    with pytest.raises(Refused, match="generation 1 of 'job 49' is assigned"):
        coordinator.assign("job 49", 1, workers=2)
    coordinator.assign("job 49", 2, workers=2)


def test_a_generation_that_goes_on_is_kept() -> None:
    coordinator = Coordinator("one")
    coordinator.assign("job", 1, workers=2)
    first, second = [Ticket("one", "job", 1, worker) for worker in range(2)]
    coordinator.attach(first)
    coordinator.left(first)
    coordinator.attach(second)  # It comes late, and finds out that the other one is gone by itself.
    coordinator.assign("job", 2, workers=1)
    coordinator.left(second)
    coordinator.attach(Ticket("one", "job", 2, 0))
