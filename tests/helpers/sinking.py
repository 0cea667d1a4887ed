"""A job whose sinks write to something that outlives it, killed between any two steps of that writing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from limnad import Flow
from limnad.connectors import Covered, Delivery, Fenced, LostOutput, Staged, Target, Writer
from limnad.testing import Recovery
from limnad.testing.recovery import Generation
from limnad.timely.scheduler import VertexFailure
from tests.helpers.recovering import recovery

EPOCHS = [[1, 2, 3, 4, 4, 9], [], [7, 7, 7], [2, 3], [5, 8, 6, 1]]

Rows = dict[int, list[Any]]
Key = tuple[int, int, int]
"""Generation, worker, epoch."""


class Killed(BaseException):
    """No ``except Exception`` stops a kill."""


class Fuse:
    """Kills whoever takes the step after so many."""

    def __init__(self) -> None:
        self.left: int | None = None

    def step(self) -> None:
        """Somebody does something that outlives them."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


class Memory:
    """What outlives a job: rows by writer and epoch, staged and shown.

    Attributes:
        taken_back: How often something was shown and is not any more.
    """

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse
        self.writers: set[tuple[int, int]] = set()
        self.staged: dict[Key, list[Any]] = {}
        self.shown: dict[Key, list[Any]] = {}
        self.taken_back = 0

    @property
    def rows(self) -> Rows:
        """What a reader sees."""
        found: Rows = {}
        for (_, _, epoch), rows in self.shown.items():
            found.setdefault(epoch, []).extend(rows)
        return {epoch: sorted(rows) for epoch, rows in found.items()}


class MemoryTarget:
    """See `limnad.connectors.Target`; each step on the memory is one that cannot be divided."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def open(self, writer: Writer) -> None:
        self.writer = writer

    def place(self) -> None:
        return None

    def stage(self, epoch: int, batch: Any) -> None:
        self.check_fence()
        self.memory.fuse.step()
        self.memory.staged[self.writer.generation, self.writer.worker, epoch] = list(batch)

    def commit(self, staged: Sequence[Staged]) -> None:
        for each in staged:
            self.memory.fuse.step()
            key = (each.generation, each.worker, each.epoch)
            rows = self.memory.staged.pop(key, None)
            if rows is not None:
                self.memory.shown[key] = rows
            elif each.generation == self.writer.generation:
                raise Fenced

    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        del shown
        memory = self.memory
        memory.fuse.step()
        memory.writers.add((self.writer.generation, self.writer.worker))
        if any(generation > self.writer.generation for generation, _ in memory.writers):
            raise LostOutput
        memory.writers -= {writer for writer in memory.writers if self.settles(*writer)}
        for key in [key for key in memory.staged if self.settles(*key[:2])]:
            memory.fuse.step()
            memory.staged.pop(key)
        for key in [key for key in memory.shown if self.settles(*key[:2])]:
            if covered is None or not covered.covers(*key):
                memory.fuse.step()
                memory.taken_back += 1
                memory.shown.pop(key)

    def settles(self, generation: int, worker: int) -> bool:
        return generation < self.writer.generation and self.writer.looks_after(worker)

    def check_fence(self) -> None:
        if (self.writer.generation, self.writer.worker) not in self.memory.writers:
            raise Fenced


def job(make_target: Callable[[], Target], delivery: Delivery) -> Callable[[Flow], None]:
    """Rows that changed workers and waited for notifications, shown where they are."""

    def described(flow: Flow) -> None:
        pairs = flow.input("numbers").key_by(lambda number: number % 3)
        joined = pairs.join(pairs.count_by_key()).partition_by(lambda pair: pair[1])
        joined.to_sink("sink", make_target, delivery=delivery)

    return described


def expected() -> Rows:
    """What a reader sees in the end."""
    found: Rows = {}
    for epoch, numbers in enumerate(EPOCHS):
        counts = [sum(1 for other in numbers if other % 3 == number % 3) for number in numbers]
        if numbers:
            found[epoch] = sorted((number % 3, (number, count)) for number, count in zip(numbers, counts, strict=True))
    return found


class Drill:
    """Generation after generation, killed, with zombies that go on behind them.

    Args:
        make_target: Makes a worker's target.
        delivery: Of the sink.
        fuse: What kills between two steps.
        seed: Decides everything else.
        options: See `limnad.testing.Recovery`.
    """

    def __init__(
        self, make_target: Callable[[], Target], delivery: Delivery, fuse: Fuse, seed: int, **options: Any
    ) -> None:
        self.random = Random(seed)
        self.fuse = fuse
        self.recovery: Recovery = recovery(job(make_target, delivery), EPOCHS, seed, check=False, **options)
        self.zombies: list[Generation] = []

    def live(self, width: int, ticks: int = 20_000, steps: int | None = None) -> bool:
        """Runs a generation for so many ticks at most, and so many steps of writing; whether it has finished."""
        self.fuse.left = steps
        try:
            generation = self.recovery.start(width)
        except Killed:
            return False
        try:
            while not generation.settled and generation.tick < ticks:
                self.advance(generation)
            finished = generation.settled
            if finished:
                self.conclude(generation)
        except Killed:
            generation.crash()
            return False
        finally:
            self.fuse.left = None
        if finished:
            return True
        generation.crash()
        self.zombies.append(generation)
        return False

    def conclude(self, generation: Generation) -> None:
        """All have finished: a last checkpoint, tried again until it is durable and everybody has heard so."""
        assert all(worker.finished for worker in generation.workers)
        before = generation.leader.committed
        while generation.leader.committed == before:
            generation.checkpoint()
            while not generation.settled:
                self.advance(generation)

    def advance(self, generation: Generation) -> None:
        """Something happens, and now and then a zombie does what it would have done."""
        generation.advance()
        for zombie in list(self.zombies):
            if zombie.settled:
                self.zombies.remove(zombie)
            elif self.random.random() < 0.3:
                self.haunt(zombie)

    def haunt(self, zombie: Generation) -> None:
        """A zombie's step; it is not the one to be killed."""
        left, self.fuse.left = self.fuse.left, None
        try:
            zombie.advance()
        except VertexFailure as failure:
            if not isinstance(failure.__cause__, (Fenced, LostOutput)):
                raise
            self.zombies.remove(zombie)
        finally:
            self.fuse.left = left

    def run(self) -> None:
        """Some kills, some widths, and a life to the end."""
        random = self.random
        for _ in range(random.randrange(1, 5)):
            steps = random.choice([None, random.randrange(12)])
            if self.live(random.choice([1, 2, 3, 5]), random.randrange(1, 300), steps):
                return
        assert self.live(random.choice([1, 2, 3, 5]))


@contextlib.contextmanager
def each_step(fuse: Fuse, *places: tuple[Any, str]) -> Iterator[None]:
    """Within it every call of these functions is a step."""
    before = [(owner, name, getattr(owner, name)) for owner, name in places]

    def stepping(call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **options: Any) -> Any:
            fuse.step()
            return call(*arguments, **options)

        return stepped

    try:
        for owner, name, call in before:
            setattr(owner, name, stepping(call))
        yield
    finally:
        for owner, name, call in before:
            setattr(owner, name, call)
