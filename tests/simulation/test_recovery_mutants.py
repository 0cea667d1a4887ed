"""Every unsafe way to checkpoint or to restore that we know of is switched in, and the simulation has to catch it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from limnad.cluster.halting import Halting
from limnad.cluster.worker import Worker
from limnad.store import Checkpoints, ChunkRef, StoreError
from limnad.testing import Recovery, SimulationError
from limnad.testing.recovery import Generation
from limnad.timely.scheduler import VertexFailure
from limnad.timely.snapshot import Part, PartitionState
from tests.helpers.flows import FLOWS
from tests.helpers.recovering import check_outputs, recovery
from tests.simulation.test_recovery import expected

SEEDS = 200


def restored_as(change: Callable[[Worker, Sequence[Part]], Sequence[Part]]) -> type[Worker]:
    """A worker to whom a restore gives something else."""

    class Mutant(Worker):
        def start(self, restored: Sequence[Part] = ()) -> None:
            super().start(change(self, restored))

    return Mutant


def nothing_in_flight(_: Worker, parts: Sequence[Part]) -> Sequence[Part]:
    """In-flight messages are left out of the checkpoint."""
    return [replace(part, waiting=[]) for part in parts]


def unfinished_epochs_again(_: Worker, parts: Sequence[Part]) -> Sequence[Part]:
    """Unfinished epochs are replayed on top of the messages that are restored."""

    def back(state: PartitionState) -> PartitionState:
        return state if state.position is None else PartitionState(state.epoch, {"epoch": state.epoch})

    return [replace(part, partitions={key: back(state) for key, state in part.partitions.items()}) for part in parts]


def owed_only_to_who_asked(worker: Worker, parts: Sequence[Part]) -> Sequence[Part]:
    """A notification is restored only at the worker that asked."""
    return [part if part.worker == worker.index else replace(part, requests=[]) for part in parts]


def nothing_owed(_: Worker, parts: Sequence[Part]) -> Sequence[Part]:
    """Notifications that are owed are forgotten."""
    return [replace(part, requests=[]) for part in parts]


def no_state(_: Worker, parts: Sequence[Part]) -> Sequence[Part]:
    """The state of vertices is forgotten."""
    return [replace(part, states={}) for part in parts]


class NotifiesAtOnce(Worker):
    """Delivers notifications before every worker's initial counts have arrived."""

    def start(self, restored: Sequence[Part] = ()) -> None:
        super().start(restored)
        self.scheduler.notifying = True


class IgnoresMarkers(Worker):
    """Captures at once: what peers have sent and has not arrived is in nobody's part."""

    def begin_checkpoint(self, checkpoint: int) -> None:
        super().begin_checkpoint(checkpoint)
        for peer in self._halting.peers:
            self._halting.marked(peer, checkpoint)
        self._capture_if_complete()


class Open(Halting):
    def holds_back(self, peer: int) -> bool:
        return False


class HoldsNothingBack(Worker):
    """What comes behind a marker is taken for a part of the checkpoint, and its sender sends it again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._halting = Open(self._halting.peers)


class KeepsBuffers(Worker):
    """Outgoing buffers are not emptied before the capture."""

    def begin_checkpoint(self, checkpoint: int) -> None:
        flush = self.scheduler.flush
        self.scheduler.flush = lambda before_epoch=None: []  # type: ignore[method-assign]
        try:
            super().begin_checkpoint(checkpoint)
        finally:
            self.scheduler.flush = flush  # type: ignore[method-assign]


MUTANTS: dict[str, type[Worker]] = {
    "in-flight messages left out": restored_as(nothing_in_flight),
    "unfinished epochs replayed on restored messages": restored_as(unfinished_epochs_again),
    "a notification restored only where it was asked for": restored_as(owed_only_to_who_asked),
    "notifications forgotten": restored_as(nothing_owed),
    "state forgotten": restored_as(no_state),
    "notified before all initial counts": NotifiesAtOnce,
    "captured without waiting for markers": IgnoresMarkers,
    "nothing held back behind a marker": HoldsNothingBack,
    "outgoing buffers kept": KeepsBuffers,
}


class WithoutFence(Recovery):
    """Each generation acts in the name of whichever there is."""

    def checkpoints(self, generation: int) -> Checkpoints:
        return Checkpoints(self.space)


class WritesChunksLate(Recovery):
    """The manifest may be there before the chunks; a kill finds the last ones unwritten."""

    late: Sequence[bytes] = ()

    def put(self, datas: Iterable[bytes], mark: int) -> list[str]:
        super().put(self.late, mark)
        self.late = list(datas)
        return [str(ChunkRef.of(data)) for data in self.late]

    def start(self, workers: int) -> Generation:
        self.late = ()
        return super().start(workers)


LEADERS: dict[str, type[Recovery]] = {
    "no fence": WithoutFence,
    "the manifest before the chunks": WritesChunksLate,
}


def drill(name: str, seed: int, **options: Any) -> Recovery:
    """Some kills, some widths, one seed."""
    flow, epochs = FLOWS[name]
    random = Random(seed)
    done = recovery(flow, epochs, seed, interval_ticks=random.choice([10, 40, 100]), **options)
    for _ in range(3):
        if done.run(random.choice([1, 2, 3, 5]), ticks=random.randrange(20, 400), max_ticks=20_000):
            return done
    done.run(random.choice([1, 2, 3, 5]), max_ticks=20_000)
    return done


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str) -> None:
    wanted = {name: expected(name) for name in FLOWS}
    for seed in range(SEEDS):
        for name in FLOWS:
            try:
                check_outputs(drill(name, seed, make_worker=MUTANTS[mutant]), wanted[name])
            except (AssertionError, SimulationError, VertexFailure, KeyError):
                return
    pytest.fail(f"not caught in {SEEDS} seeds: {mutant}")


@pytest.mark.parametrize("mutant", LEADERS)
def test_a_mutant_of_the_leader_or_its_store_is_caught(mutant: str) -> None:
    wanted = expected("collatz")
    for seed in range(SEEDS):
        try:
            check_outputs(drill("collatz", seed, make=LEADERS[mutant], zombies=0.7), wanted)
        except (AssertionError, SimulationError, StoreError):
            return
    pytest.fail(f"not caught in {SEEDS} seeds: {mutant}")


def test_the_drill_itself_passes() -> None:
    for seed in range(5):
        for name in FLOWS:
            check_outputs(drill(name, seed, zombies=0.7), expected(name))
