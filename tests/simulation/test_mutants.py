"""Every policy that is known to be unsafe is switched in, and the simulation catches it.

A simulation that finds nothing proves little unless it finds what is there: these are its own test. The numbers in the
table are how many seeds were needed at most when it was written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from limnad.cluster.effects import Data, LinkError, Progress
from limnad.cluster.worker import Worker
from limnad.testing import Simulation, SimulationError, run, simulate
from limnad.testing.simulation import Link, LinkName
from limnad.timely.graph import Connector
from limnad.timely.progress import FlushPolicy, ProgressBuffer
from limnad.timely.scheduler import Scheduler
from limnad.timely.snapshot import Part
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Tracker, Update
from tests.helpers.flows import FLOWS, in_order

Caught = (SimulationError, LinkError)


# -- what a worker sends, and when ---------------------------------------------------------------------------------


class NegativesFirst(FlushPolicy):
    """Sends removals in a message of their own before additions."""

    def batches(self, buffer: ProgressBuffer, view: Tracker) -> list[list[Update]]:
        return [
            part
            for batch in super().batches(buffer, view)
            for part in ([u for u in batch if u[2] < 0], [u for u in batch if u[2] > 0])
            if part
        ]


class OneByOne(FlushPolicy):
    """Sends a message for each pointstamp."""

    def batches(self, buffer: ProgressBuffer, view: Tracker) -> list[list[Update]]:
        return [[update] for batch in super().batches(buffer, view) for update in batch]


class HoldsPositives(FlushPolicy):
    """Sends removals at once and keeps additions for later."""

    def batches(self, buffer: ProgressBuffer, view: Tracker) -> list[list[Update]]:
        batches = super().batches(buffer, view)
        if not batches:
            return []
        negative = [update for update in batches[0] if update[2] < 0]
        positive = [update for update in batches[0] if update[2] > 0]
        if not negative:
            return [positive]
        for location, time, delta in positive:
            ProgressBuffer.add(buffer, location, time, delta)
        return [negative]


def with_policy(policy: type[FlushPolicy]) -> type[Worker]:
    class Mutant(Worker):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.policy = policy(self.policy._mode)

    return Mutant


# -- when a worker counts ------------------------------------------------------------------------------------------


class ReportsAtStart(Scheduler):
    """Counts a batch as gone before `on_recv` has sent what it causes, and lets that out at once."""

    def _receive(self, connector: Connector, time: Timestamp, batches: list[Any]) -> None:
        self.progress.add(connector.index, time, -len(batches))
        self.worker_machine._flush_progress()  # type: ignore[attr-defined]
        super()._receive(connector, time, batches)
        self.progress.add(connector.index, time, len(batches))


class ReceiverReports(Scheduler):
    """A sender does not count what it sends; the receiver does, when it arrives."""

    def _parcels(self, place: tuple[int, Timestamp]) -> list[Any]:
        parcels = super()._parcels(place)
        for parcel in parcels:
            self.progress.add(parcel.connector, parcel.time, -1)
        return parcels

    def deliver(self, connector: int, time: Timestamp, batch: Any, size: int | None = None) -> None:
        if getattr(self, "remote", False):
            self.progress.add(connector, time, 1)
        super().deliver(connector, time, batch, size)


class CountsBuffersOnce(Scheduler):
    """An open outgoing buffer counts once, whatever the number of its destinations."""

    def destinations(self, connector: Connector) -> int:
        return 1


def with_scheduler(kind: type[Scheduler]) -> type[Worker]:
    class Mutant(Worker):
        def _make_scheduler(self, clock_ns: Any) -> Scheduler:
            scheduler = kind(
                self.graph, self.locations, self.view, self.buffer, self.index, self.workers, self._publish, clock_ns
            )
            scheduler.worker_machine = self  # type: ignore[attr-defined]
            return scheduler

        def data_arrived(self, *arguments: Any) -> None:
            self.scheduler.remote = True  # type: ignore[attr-defined]
            super().data_arrived(*arguments)
            self.scheduler.remote = False  # type: ignore[attr-defined]

    return Mutant


class BelievesDuplicates(Worker):
    """Does not look at sequence numbers."""

    def _is_next(self, counters: dict[int, int], sender: int, sequence: int, stream: str) -> bool:
        return True


class ClampedTracker(Tracker):
    """Does not keep negative counts."""

    def update(self, updates: Any) -> set[int]:
        changed = super().update(updates)
        for counts in self._occurrences:
            for time in [time for time, count in counts.items() if count < 0]:
                del counts[time]
                self._total -= 1
        return changed


class Clamps(Worker):
    """Clamps transient negative counts to zero."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.view = self.scheduler._view = ClampedTracker(self.locations)


class NotifiesBeforeAllAreHeard(Worker):
    """Delivers notifications before every worker's initial counts have arrived."""

    def start(self, restored: Sequence[Part] = ()) -> None:
        super().start(restored)
        self.scheduler.notifying = True


# -- what a network does -------------------------------------------------------------------------------------------


class Reorders(Simulation):
    """Progress streams are not FIFO; sequence numbers are made to fit, as if there were two streams."""

    def pick(self, name: LinkName, link: Link) -> Any:
        if name[2] == "progress" and len(link.waiting) > 1 and self._random.random() < 0.5:
            link.waiting[0], link.waiting[1] = renumbered(link.waiting[1], link.waiting[0])
        return super().pick(name, link)


def renumbered(first: Progress, second: Progress) -> tuple[Progress, Progress]:
    return (
        Progress(second.sequence, first.updates, first.epochs),
        Progress(first.sequence, second.updates, second.epochs),
    )


class LosesData(Simulation):
    """A data message is lost."""

    def send(self, name: LinkName, message: Any) -> None:
        if isinstance(message, Data) and self._random.random() < 0.2:
            return
        super().send(name, message)


MUTANTS: dict[str, dict[str, Any]] = {
    "negatives first": {"make_worker": with_policy(NegativesFirst)},
    "one message per pointstamp": {"make_worker": with_policy(OneByOne)},
    "holds positives": {"make_worker": with_policy(HoldsPositives)},
    "-1 at the start of on_recv": {"make_worker": with_scheduler(ReportsAtStart)},
    "the receiver reports the +1": {"make_worker": with_scheduler(ReceiverReports)},
    "a buffer counts once": {"make_worker": with_scheduler(CountsBuffersOnce)},
    "duplicates without sequence numbers": {"make_worker": BelievesDuplicates},
    "negative counts clamped": {"make_worker": Clamps},
    "notifies before all are heard": {"make_worker": NotifiesBeforeAllAreHeard},
    "not FIFO": {"make_simulation": Reorders},
    "data lost": {"make_simulation": LosesData},
}
SEEDS = int(os.environ.get("LIMNAD_MUTANT_SEEDS", "400"))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_invariants_catch(mutant: str) -> None:
    assert any(fails(name, seed, mutant) for seed in range(SEEDS) for name in FLOWS), f"{mutant} was never caught"


def fails(name: str, seed: int, mutant: str) -> bool:
    flow, epochs = FLOWS[name]
    try:
        simulation, _ = simulate(flow, {"numbers": epochs}, workers=3, seed=seed, **MUTANTS[mutant])
        simulation.run(max_ticks=50_000)
    except Caught:
        return True
    return False


@pytest.mark.parametrize("mutant", ["negatives first", "-1 at the start of on_recv"])
def test_wrong_outputs_alone_would_show(mutant: str) -> None:
    """Without the invariants: the answers themselves are wrong, or the run hangs, for some seed."""
    for seed in range(SEEDS):
        for name, (flow, epochs) in FLOWS.items():
            expected = in_order(run(flow, {"numbers": epochs}, check=False).outputs)
            simulation, _ = simulate(flow, {"numbers": epochs}, workers=3, seed=seed, check=False, **MUTANTS[mutant])
            try:
                simulation.run(max_ticks=50_000)
            except Exception:  # noqa: BLE001 - whatever a mutant does to itself shows it
                return
            if in_order(simulation.published) != expected:
                return
            assert name
    pytest.fail(f"{mutant} gave right answers {SEEDS} times")
