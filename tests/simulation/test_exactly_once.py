"""Sinks under kills between any two steps, with zombies: every row is shown once; committed rows stay."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from limnad.connectors import Covered, Delivery, FileTarget, Sink, Writer
from limnad.stream import base
from limnad.testing import SimulationError
from limnad.timely.scheduler import VertexFailure
from tests.helpers.sinking import Drill, Fuse, Memory, MemoryTarget, Rows, each_step, expected

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "40"))

deliveries = pytest.mark.parametrize("delivery", get_args(Delivery))


def drill(
    delivery: Delivery, seed: int, make_target: Callable[[Memory], MemoryTarget] = MemoryTarget
) -> tuple[Drill, Memory]:
    fuse = Fuse()
    memory = Memory(fuse)
    interval = [5, 10, 40, 100][seed % 4]
    made = Drill(lambda: make_target(memory), delivery, fuse, seed, interval_ticks=interval, store_failures=0.1)
    return made, memory


def check(memory: Memory, delivery: Delivery) -> None:
    assert memory.rows == expected()
    if delivery == "committed":
        assert memory.taken_back == 0
        assert not memory.staged, "a commit did not come about"


@deliveries
def test_random_kills_and_zombies(delivery: Delivery) -> None:
    for seed in range(SEEDS):
        done, memory = drill(delivery, seed)
        done.run()
        check(memory, delivery)


@deliveries
@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 2), (2, 3)])
def test_a_kill_at_every_step_of_writing_and_one_at_every_step_of_what_comes_after(
    delivery: Delivery, before: int, after: int
) -> None:
    steps, unharmed = 0, False
    while not unharmed:
        done, memory = drill(delivery, seed=steps)
        unharmed = done.live(before, steps=steps)
        if not unharmed and not done.live(after, steps=steps % 9):
            assert done.live(after)
        check(memory, delivery)
        steps += 1
    assert steps > 10


# -- mutants -----------------------------------------------------------------------------------------------------------


class CommitsBeforeTheManifest(Sink):
    def checkpoint(self) -> Covered:
        self._target.commit(self._staged)
        self._staged.clear()
        return super().checkpoint()


class CommitsNothingAgain(Sink):
    def on_start(self) -> None:
        self._restored = self._restored and replace(self._restored, staged=())
        super().on_start()


class CommitsWhatTheCheckpointDoesNotList(Sink):
    def on_commit(self, epochs: int) -> None:
        super().on_commit(1 << 60)


class ListsNothing(Sink):
    def checkpoint(self) -> Covered:
        return replace(super().checkpoint(), staged=())


class ForgetsHowFarItWas(Sink):
    def checkpoint(self) -> Covered:
        return replace(super().checkpoint(), epochs={})


class DiscardsFirst(Sink):
    def on_start(self) -> None:
        restored, self._restored = self._restored, None
        context = self._context
        writer = Writer(context.job, context.stage, context.worker, context.workers, context.generation)
        self._target.open(writer)
        self._target.discard(restored, shown=self._eager)
        if restored is not None:
            self._target.commit(restored.staged)


class EverybodySettlesTheirOwn(Sink):
    @staticmethod
    def rescale(states: Sequence[Covered], workers: int) -> Sequence[Covered]:
        return [states[min(worker, len(states) - 1)] for worker in range(workers)]


SINKS: dict[str, type[Sink]] = {
    "commit before the manifest": CommitsBeforeTheManifest,
    "no commit after a restore": CommitsNothingAgain,
    "a commit of what no checkpoint lists": CommitsWhatTheCheckpointDoesNotList,
    "staged, and not listed": ListsNothing,
    "a checkpoint that does not say how far the sink was": ForgetsHowFarItWas,
    "discarded before it is committed again": DiscardsFirst,
    "nobody settles what a worker that is gone has left": EverybodySettlesTheirOwn,
}


class NoFence(MemoryTarget):
    def check_fence(self) -> None:
        pass

    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        staged = dict(self.memory.staged)
        super().discard(covered, shown=shown)
        self.memory.staged.update(staged)


class DiscardsNothing(MemoryTarget):
    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        shown_before = dict(self.memory.shown)
        super().discard(covered, shown=shown)
        self.memory.shown.update(shown_before)


TARGETS: dict[str, type[MemoryTarget]] = {"no fence": NoFence, "nothing discarded": DiscardsNothing}


@pytest.mark.parametrize("mutant", [*SINKS, *TARGETS])
def test_a_mutant_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "Sink", SINKS.get(mutant, Sink))
    for seed in range(300):
        for delivery in get_args(Delivery):
            done, memory = drill(delivery, seed, TARGETS.get(mutant, MemoryTarget))
            try:
                done.run()
                check(memory, delivery)
            except (AssertionError, SimulationError, VertexFailure, KeyError):
                return
    pytest.fail(f"not caught: {mutant}")


# -- files -------------------------------------------------------------------------------------------------------------


CALLS: list[tuple[Any, str]] = [
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (Path, "open"),
    (os, "fsync"),
    (shutil, "rmtree"),
]


def written(folder: Path) -> Rows:
    found: Rows = {}
    for file in folder.glob("epoch=*/part-*"):
        rows = [(key, (number, count)) for key, (number, count) in map(json.loads, file.read_text().splitlines())]
        found.setdefault(int(file.parent.name.removeprefix("epoch=")), []).extend(rows)
    return {epoch: sorted(rows) for epoch, rows in found.items()}


def files(folder: Path, delivery: Delivery, seed: int) -> Drill:
    def make() -> FileTarget:
        return FileTarget(str(folder), "ndjson", records=True)

    return Drill(make, delivery, Fuse(), seed, interval_ticks=[5, 10, 40, 100][seed % 4], store_failures=0.1)


@deliveries
def test_files_under_random_kills_and_zombies(delivery: Delivery, tmp_path: Path) -> None:
    for seed in range(SEEDS // 4):
        done = files(tmp_path / str(seed), delivery, seed)
        with each_step(done.fuse, *CALLS):
            done.run()
        assert written(tmp_path / str(seed)) == expected()


@deliveries
def test_files_killed_between_any_two_system_calls(delivery: Delivery, tmp_path: Path) -> None:
    steps, unharmed = 0, False
    while not unharmed:
        folder = tmp_path / str(steps)
        done = files(folder, delivery, steps)
        with each_step(done.fuse, *CALLS):
            unharmed = done.live(2, steps=steps)
            if not unharmed and not done.live(2, steps=steps % 17):
                assert done.live(2)
        assert written(folder) == expected()
        steps += 3
    assert steps > 60
