"""A job that is checkpointed, killed and restored, in one process, every step decided by one seed.

A `Recovery` runs one generation of workers after the other. Within a generation the real leader's machine
(`limnad.cluster.checkpoints`) asks for checkpoints, the real workers halt and capture, and a store in memory takes
their parts, now and then late, now and then not at all. Whenever the test says so, all workers are gone at once, and a
new generation, perhaps of another width, starts from the newest checkpoint that is complete.

With a coordinator that one is struck too: it is killed in the middle of a generation and comes back as another, or it
is cut off and lives on, and workers of a later generation come upon it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from limnad.cluster.checkpoints import Abort, Announce, Begin, Checkpoints, Commit, Drop, Open
from limnad.cluster.checkpoints import Effect as LeaderEffect
from limnad.cluster.coordinator import Coordinator
from limnad.cluster.effects import COORDINATOR, Captured, Effect, Marker, Publish
from limnad.cluster.parts import read_part, write_part
from limnad.cluster.records import PartRecord
from limnad.cluster.worker import Worker
from limnad.stream.flow import BuiltFlow
from limnad.testing.simulation import JOB, LinkName, Simulation, SimulationError
from limnad.timely.progress import Accumulation
from limnad.timely.source import Source

LEADER = -2
"""The leader's number as a sender on links."""

Published = tuple[str, int, Any]
"""``(output, epoch, rows)``."""


@dataclass(slots=True)
class MemoryStore:
    """Complete checkpoints by number.

    Attributes:
        manifests: For each its parts.
        chunks: The contents of all chunks, by name.
    """

    manifests: dict[int, Sequence[PartRecord]] = field(default_factory=dict)
    chunks: dict[str, bytes] = field(default_factory=dict)

    def put(self, datas: Iterable[bytes]) -> list[str]:
        """Keeps chunks; see `limnad.cluster.parts.Put`."""
        names = []
        for data in datas:
            names.append(sha256(data).hexdigest())
            self.chunks[names[-1]] = data
        return names

    def get(self, names: Iterable[str]) -> Iterable[bytes]:
        """See `limnad.cluster.parts.Get`."""
        return [self.chunks[name] for name in names]

    def newest(self) -> tuple[int, Sequence[PartRecord]]:
        """The greatest number and its parts; 0 and none if there is no checkpoint."""
        number = max(self.manifests, default=0)
        return number, self.manifests.get(number, ())


class Generation(Simulation):
    """One generation of workers with its leader. Arguments: see `Recovery` and `Simulation`."""

    def __init__(self, recovery: Recovery, workers: int, seed: int, number: int) -> None:
        self._recovery = recovery
        self.leader = Checkpoints(workers, interval_s=recovery.interval_ticks, timeout_s=2_000)
        self.log: list[Published] = []
        self._cut: dict[int, int] = {}
        self._writing: list[tuple[Captured, int]] = []
        self._committing: Commit | None = None
        self._link_lost = self.given_up = False
        super().__init__(
            recovery.built.graph,
            recovery.make_sources,
            workers,
            seed,
            recovery.accumulation,
            make_worker=recovery.make_worker,
            check=recovery.check,
            generation=number,
        )

    def begin(self, worker: Worker) -> None:
        """See `Simulation.begin`."""
        _, records = self._recovery.store.newest()
        get = self._recovery.store.get
        worker.start([read_part(record, get, worker.index, worker.workers) for record in records])

    @property
    def settled(self) -> bool:
        """See `Simulation.settled`."""
        busy = self._writing or self._link_lost or self._committing is not None
        return super().settled and not busy

    def choices(self) -> list[Any]:
        """See `Simulation.choices`."""
        more: list[Any] = [self._store] if self._writing else []
        more += [self._commit] if self._committing else []
        return [*super().choices(), *more, *([self._give_up] if self._link_lost else [])]

    def advance(self) -> None:
        """See `Simulation.advance`."""
        if all(worker.finished for worker in self.workers):
            self.leader.interval_s = None
        self._lead(self.leader.tick(self.tick))
        if self.streams and self._random.random() < self._recovery.coordinator_kills:
            self._kill_coordinator()
        if self._link_lost and self.invariants is not None:
            self.invariants.lossless = False
        super().advance()

    def route(self, sender: int, effect: Effect) -> None:
        """See `Simulation.route`."""
        match effect:
            case Marker():
                self.send((sender, effect.peer, "data"), effect)
            case Captured():
                if sender == 0:
                    self._cut[effect.checkpoint] = len(self.log)
                self._writing.append((effect, sender))
            case Publish(output, epoch, batch):
                self.log.append((output, epoch, batch))
                self._recovery.seen.append((output, epoch, batch))
            case _:
                super().route(sender, effect)

    def receive(self, worker: Worker, sender: int, message: Any) -> None:
        """See `Simulation.receive`."""
        match message:
            case Marker(_, sequence, checkpoint):
                worker.marker_arrived(sender, sequence, checkpoint)
            case Begin(checkpoint):
                worker.begin_checkpoint(checkpoint)
            case Abort(checkpoint):
                worker.abort_checkpoint(checkpoint)
            case Announce(checkpoint):
                worker.checkpoint_committed(checkpoint)
            case _:
                super().receive(worker, sender, message)

    def checkpoint(self) -> None:
        """Asks the leader for a checkpoint."""
        self._lead(self.leader.ask(self.tick))

    # -- the coordinator -----------------------------------------------------------------------------------------------

    def appoint(self) -> None:
        """See `Simulation.appoint`. Now and then a worker comes upon a coordinator that is not the one."""
        appointed = self._recovery.coordinator
        appointed.assign(JOB, self.generation, len(self.workers))
        for worker in self.workers:
            stray = self._random.random() < self._recovery.strays
            reached = self._random.choice(self._recovery.others) if stray else appointed
            self._link_lost |= not self.connect(worker, reached, appointed.identity)

    def _kill_coordinator(self) -> None:
        """It is gone with all that was on its way to it; of what it had sent some is still delivered."""
        lost = self._recovery.coordinator
        self._recovery.restart_coordinator()
        for (sender, receiver, _), link in self.links.items():
            if receiver == COORDINATOR:
                link.waiting.clear()
            elif sender == COORDINATOR:
                for _ in range(self._random.randint(0, len(link.waiting))):
                    link.waiting.pop()
        self.streams.clear()
        self._sending.clear()
        for worker in self.workers:
            self._link_lost |= not self.connect(worker, self._recovery.coordinator, lost.identity)

    def _give_up(self) -> None:
        """The leader hears of a lost link."""
        self.given_up = True

    # -- the leader and the store --------------------------------------------------------------------------------------

    def _lead(self, effects: Sequence[LeaderEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Open):
                self._recovery.last_checkpoint += 1
                self._lead(self.leader.opened(self._recovery.last_checkpoint))
                continue
            if isinstance(effect, Commit):
                self._committing = effect
                continue
            if isinstance(effect, Drop):
                continue
            if isinstance(effect, Announce):
                self._recovery.released.extend(self.take_committed(effect.checkpoint))
            for worker in self.workers:
                name: LinkName = (LEADER, worker.index, "control")
                self.send(name, effect)

    def take_committed(self, checkpoint: int) -> list[Published]:
        """What was published before a checkpoint and not released yet."""
        cut = self._cut[checkpoint]
        released, self.log = self.log[:cut], self.log[cut:]
        self._cut = {number: at - cut for number, at in self._cut.items() if number > checkpoint}
        return released

    def _store(self) -> None:
        captured, worker = self._writing.pop(self._random.randrange(len(self._writing)))
        part = write_part(
            captured.snapshot, self._recovery.store.put, self._recovery.previous_part(worker, self.generation)
        )
        if self._random.random() < self._recovery.store_failures:
            self._lead(self.leader.failed(captured.checkpoint, "the store said no", self.tick))
        else:
            self._lead(self.leader.stored(worker, captured.checkpoint, part, self.tick))

    def _commit(self) -> None:
        commit, self._committing = self._committing, None
        assert commit is not None
        self._recovery.store.manifests[commit.checkpoint] = commit.parts
        self._recovery.made_by[commit.checkpoint] = self.generation
        self._lead(self.leader.commit_done(commit.checkpoint, self.tick))

    def crash(self) -> None:
        """All workers and the leader are gone. A manifest on its way may have arrived all the same."""
        if self._committing is not None and self._random.random() < 0.5:
            commit = self._committing
            self._recovery.store.manifests[commit.checkpoint] = commit.parts
            self._recovery.made_by[commit.checkpoint] = self.generation
            self._recovery.released.extend(self.take_committed(commit.checkpoint))


class Recovery:
    """A job and the generations that run it.

    Args:
        built: The job.
        make_sources: Makes the sources anew, by input stage name.
        seed: Decides everything.
        interval_ticks: From one checkpoint to the next; None for none.
        store_failures: How likely a part cannot be stored.
        accumulation: How progress updates are gathered.
        coordinator_kills: How likely the coordinator is killed at a tick; another one takes its place at once.
        strays: How likely a worker comes upon a coordinator that it was not told.
        make_worker: The worker machine's class; tests put mutants here.
        make_coordinator: Makes a coordinator from its identity; likewise.
        check: Whether to check the invariants of the progress protocol at each tick.

    Attributes:
        store: What is durable.
        released: What readers of committed output have seen, in order.
        seen: What readers of eager output have seen, in order.
        coordinator: The coordinator's process of the moment; it outlives generations.
        others: Those that came before it, each as it was when it was lost, and one that was never assigned to anything.
    """

    def __init__(
        self,
        built: BuiltFlow,
        make_sources: Callable[[], Mapping[str, Source]],
        seed: int = 0,
        *,
        interval_ticks: float | None = 50,
        store_failures: float = 0.0,
        accumulation: Accumulation = Accumulation.LOCAL,
        coordinator_kills: float = 0.0,
        strays: float = 0.0,
        make_worker: type[Worker] = Worker,
        make_coordinator: Callable[[str], Coordinator] = Coordinator,
        check: bool = True,
    ) -> None:
        self.built = built
        self.make_sources = make_sources
        self.seed = seed
        self.interval_ticks = interval_ticks
        self.store_failures = store_failures
        self.accumulation = accumulation
        self.coordinator_kills = coordinator_kills
        self.strays = strays
        self.make_worker = make_worker
        self.check = check
        self._make_coordinator = make_coordinator
        self.coordinator = make_coordinator("coordinator 1")
        self.others = [make_coordinator("coordinator 0")]
        self.store = MemoryStore()
        self.released: list[Published] = []
        self.seen: list[Published] = []
        self.last_checkpoint = 0
        self.made_by: dict[int, int] = {}
        self.generations = 0

    def start(self, workers: int) -> Generation:
        """A new generation, from the newest complete checkpoint or from the beginning."""
        self.generations += 1
        return Generation(self, workers, self.seed * 1_000_003 + self.generations, self.generations)

    def restart_coordinator(self) -> None:
        """Another process is the coordinator from now on; the one before may live on."""
        self.others.append(self.coordinator)
        self.coordinator = self._make_coordinator(f"coordinator {len(self.others)}")

    def run(self, workers: int, ticks: int | None = None, max_ticks: int = 1_000_000) -> bool:
        """Runs one generation to its end, or kills it after so many ticks; whether it has finished.

        It has not finished either when a link was lost, to a coordinator: then there is to be another generation.
        """
        generation = self.start(workers)
        limit = max_ticks if ticks is None else ticks
        while not generation.settled and not generation.given_up and generation.tick < limit:
            generation.advance()
        finished = generation.settled
        if finished:
            if not all(worker.finished for worker in generation.workers):
                raise SimulationError(f"seed {self.seed}: at rest at tick {generation.tick}, but not finished")
            self.released.extend(generation.log)
        elif ticks is None and not generation.given_up:
            raise SimulationError(f"seed {self.seed}: not finished after {max_ticks} ticks")
        else:
            generation.crash()
        return finished

    def previous_part(self, worker: int, generation: int) -> PartRecord | None:
        """The same worker's part of the newest checkpoint of the same generation."""
        number, parts = self.store.newest()
        return parts[worker] if parts and self.made_by[number] == generation else None
